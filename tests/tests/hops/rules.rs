//! Rules by port, by address and by direction; many of them; and others in their place later on.

use std::fmt::Write as _;

use injector_tests::{Peer, Place, Route, Status, connected, eventually};

use crate::hops::limits::{Pair, SHORT, TIGHT, assert_limited, file, path};
use crate::scene::{SOON, Scene, USUAL, flow_of};

#[test]
fn the_port_counts() {
    let scene = Scene::new("port");
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let [named, other] = [Route::V4; 2].map(|route| server.listen(route));
    let (of_port, of_host) =
        (format!("db=custom:60s@127.0.0.1:{}", named.local.port()), "host=custom:350s@127.0.0.1/32");
    let attachment = scene.attach(&["--hop", &of_port, "--hop", of_host]);
    let [near, beside] = [&named, &other].map(|listener| client.connect("127.0.0.1", listener.local.port()));
    assert_eq!([&near, &beside].map(|socket| client.keepalive(socket)), [SHORT, USUAL]);
    assert_limited(&flow_of(&attachment, &near), Some("db"), 60_000);
    assert_limited(&flow_of(&attachment, &beside), Some("host"), 350_000);
}

/// Those of one interface, as it were, and those that were accepted.
#[test]
fn our_address_and_the_direction_count() {
    const HOPS: &str = r#"
        [[hop]]
        name = "second"
        kind = "eni"
        timeout = "60s"
        local = "127.0.0.2"

        [[hop]]
        name = "accepted"
        kind = "custom"
        timeout = "4s"
        remote = "::1"
        direction = "passive"
    "#;
    let scene = Scene::new("local");
    let hops = file(HOPS);
    let attachment = scene.attach(&["--config", path(&hops)]);
    let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
    let connect = |client: &mut Peer, server: &mut Peer, address| {
        let listener = server.listen_on(address, false);
        let near = client.connect(address, listener.local.port());
        (near, server.accept(&listener))
    };
    let table = [
        ("127.0.0.2", (None, 350_000, USUAL), (Some("second"), 60_000, SHORT)),
        ("127.0.0.1", (None, 350_000, USUAL), (None, 350_000, USUAL)),
        ("::1", (None, 350_000, USUAL), (Some("accepted"), 4_000, TIGHT)),
    ];
    for (address, active, passive) in table {
        let (near, far) = connect(&mut client, &mut server, address);
        let seen = [client.keepalive(&near), server.keepalive(&far)];
        for (socket, keepalive, (hop, limit_ms, expected)) in [(near, seen[0], active), (far, seen[1], passive)] {
            assert_eq!(keepalive, expected, "{address}");
            assert_limited(&flow_of(&attachment, &socket), hop, limit_ms);
        }
    }
}

#[test]
fn the_shortest_of_several_counts() {
    let scene = Scene::new("shortest");
    let attachment = scene.attach(&[
        "--hop",
        "all=eni:350s",
        "--hop",
        "net=custom:60s@127.0.0.0/8",
        "--hop",
        "one=nlb-tcp:1800s@127.0.0.1/32",
    ]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    for (route, hop, limit_ms, expected) in
        [(Route::V4, "net", 60_000, SHORT), (Route::Mapped, "net", 60_000, SHORT), (Route::V6, "all", 350_000, USUAL)]
    {
        let (near, _far) = connected(&mut client, &mut server, route);
        assert_eq!(client.keepalive(&near), expected, "{route:?}");
        assert_limited(&flow_of(&attachment, &near), Some(hop), limit_ms);
    }
}

#[test]
fn adopted_flows_have_their_hops_too() {
    let scene = Scene::new("adopted");
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let pairs = Route::ALL.map(|route| connected(&mut client, &mut server, route).0);
    let hops = ["--hop", "v4=custom:60s@127.0.0.0/8", "--hop", "v6=custom:4s@[::1]/128"];
    let mut attachment = scene.attach(&[&["--existing", "-o", "jsonl"], &hops[..]].concat());
    attachment.adoption();
    let expected = [("v4", 60_000, SHORT), ("v6", 4_000, TIGHT), ("v4", 60_000, SHORT)];
    for (near, (hop, limit_ms, keepalive)) in pairs.iter().zip(expected) {
        assert_eq!(client.keepalive(near), keepalive, "{hop}");
        assert_limited(&flow_of(&attachment, near), Some(hop), limit_ms);
    }
}

#[test]
fn other_hops_apply_to_established_flows() {
    let scene = Scene::new("resolved");
    let attachment = scene.injector.attach_detached(&scene.inside, &["--hop", "old=custom:60s@127.0.0.0/8"]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let sockets = [Route::V4, Route::V6].map(|route| connected(&mut client, &mut server, route).0);
    let hops = ["--hop", "new=custom:120s@127.0.0.0/8", "--hop", "six=custom:4s@[::1]/128"];
    let attach = |more: &[&str]| {
        let arguments = ["attach", "--detach", "--cgroup", scene.inside.path_text()];
        scene.injector.run(&[&arguments, &hops[..], more].concat()).ok();
    };
    attach(&[]);
    let limit = |socket| {
        let flow = flow_of(&attachment, socket);
        (flow.hop, flow.limit_ms)
    };
    assert_eq!(sockets.each_ref().map(limit), [(Some("new".into()), 120_000), (Some("six".into()), 4_000)]);
    assert_eq!(sockets.each_ref().map(|socket| client.keepalive(socket)), [SHORT, USUAL], "what was injected stays");
    assert_ne!(flow_of(&attachment, &sockets[1]).status, Status::Protected);

    attach(&["--existing"]);
    let fresh = connected(&mut client, &mut server, Route::V4).0;
    let fresh = client.keepalive(&fresh);
    assert_ne!(fresh, SHORT);
    assert_eq!(sockets.each_ref().map(|socket| client.keepalive(socket)), [fresh, TIGHT]);
    eventually("it is probed", SOON, || (flow_of(&attachment, &sockets[1]).status == Status::Protected).then_some(()));
}

/// Hops `h0` to `h9999`, a /32 or /128 each, with 60 s to 1059 s.
fn ten_thousand() -> String {
    let mut text = String::new();
    for number in 0..10_000_u32 {
        let (high, low) = (number / 250, number % 250);
        let remote = if number % 2 == 0 { format!("10.1.{high}.{low}") } else { format!("fd01::{high:x}:{low:x}") };
        let timeout = 60 + number % 1000;
        write!(
            text,
            "[[hop]]\nname = \"h{number}\"\nkind = \"custom\"\ntimeout = \"{timeout}s\"\nremote = \"{remote}\"\n"
        )
        .expect("strings grow");
    }
    text
}

#[test]
fn ten_thousand_rules() {
    let scene = Scene::new("rules");
    scene.netns.address("lo", &["10.1.0.1/16"]);
    for low in [1, 0xf9] {
        scene.netns.ip(&["-6", "address", "add", &format!("fd01::27:{low:x}/128"), "dev", "lo"]);
    }
    let hops = file(&ten_thousand());
    let attachment = scene.attach(&["--config", path(&hops)]);
    let place = |cgroup| Place::cgroup(cgroup).on(&scene.netns);
    let table = [
        ("10.1.0.0", Some("h0"), 60),
        ("10.1.3.250", None, 350),
        ("10.1.20.0", Some("h5000"), 60),
        ("10.1.39.248", Some("h9998"), 1058),
        ("fd01::27:1", Some("h9751"), 811),
        ("fd01::27:f9", Some("h9999"), 1059),
    ];
    for (address, hop, limit_s) in table {
        let pair = Pair::new(place(&scene.inside), place(&scene.outside), address);
        assert_limited(&flow_of(&attachment, &pair.near), hop, limit_s * 1000);
    }
}
