//! A socket that is disconnected and connected again: `connect(2)` to `AF_UNSPEC`, as resolvers and races of drivers do.

use injector_tests::{Route, Status, connected};

use crate::hops::limits::{SHORT, TIGHT, file, path};
use crate::scene::{Scene, find, flow_of};

const EXEMPT: &str = "[[policy]]\nremote = \"127.0.0.2\"\nkeepalive = \"exempt\"\n";

/// Where the new place is exempt the flow of the old one is gone; otherwise it is the new one's.
#[test]
fn the_record_is_that_of_the_present_connection() {
    for is_exempt in [true, false] {
        for track in ["sockets", "packets"] {
            let scene = Scene::new("reused");
            let policy = file(if is_exempt { EXEMPT } else { "" });
            let hops = ["--hop", "old=custom:60s@127.0.0.1/32", "--hop", "new=custom:4s@127.0.0.2/32"];
            let arguments = [&["--track", track, "--config", path(&policy)], &hops[..]].concat();
            let attachment = scene.attach(&arguments);
            let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
            let [old, new] = ["127.0.0.1", "127.0.0.2"].map(|address| server.listen_on(address, false));
            let socket = client.open("127.0.0.1");
            let first = client.connect_socket(&socket, "127.0.0.1", old.local.port());
            client.send(&first, "first").unwrap();
            let flow = flow_of(&attachment, &first);
            assert_eq!((flow.hop.as_deref(), client.keepalive(&first)), (Some("old"), SHORT), "{flow:#?}");

            client.disconnect(&socket);
            assert!(attachment.flows().is_empty(), "not connected");
            let second = client.connect_socket(&socket, "127.0.0.2", new.local.port());
            let flows = attachment.flows();
            if is_exempt {
                assert!(flows.is_empty(), "{flows:#?}");
                continue;
            }
            let flow = find(flows, &second);
            assert_eq!((flow.hop.as_deref(), flow.status), (Some("new"), Status::Protected), "{flow:#?}");
            assert_eq!((flow.local, client.keepalive(&second)), (second.local, TIGHT), "{flow:#?}");
            assert!(flow.age_ms < 2000, "{flow:#?}");
            let sent = flow.packets.as_ref().map(|packets| packets.sent.data);
            assert_eq!(sent, (track == "packets").then_some(0), "{flow:#?}");
        }
    }
}

/// As before.
#[test]
fn others_are_left_alone() {
    let scene = Scene::new("not-reused");
    let policy = file(EXEMPT);
    let attachment = scene.attach(&["--config", path(&policy)]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    let listener = server.listen_on("127.0.0.2", false);
    client.connect("127.0.0.2", listener.local.port());
    assert_eq!(find(attachment.flows(), &near).status, Status::Protected);
    assert_eq!(attachment.flows().len(), 1);
}
