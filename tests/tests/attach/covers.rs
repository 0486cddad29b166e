//! What `attach` covers, and how it ends.

use std::time::Duration;

use injector_tests::{Cgroup, Injector, Keepalive, Netns, Peer, Place, Route, connected, pins};

use crate::scene::{Scene, USUAL};

#[test]
fn connected_and_accepted_sockets_get_keepalive_by_every_route() {
    let scene = Scene::new("routes");
    let _attachment = scene.attach(&[]);
    let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
    for route in Route::ALL {
        let (near, far) = connected(&mut client, &mut server, route);
        assert_eq!(client.keepalive(&near), USUAL, "{route:?}, connected");
        assert_eq!(server.keepalive(&far), USUAL, "{route:?}, accepted");
        assert_eq!(client.user_timeout(&near), Duration::ZERO);
    }
}

#[test]
fn sockets_outside_the_cgroup_are_left_alone() {
    let scene = Scene::new("beside");
    let _attachment = scene.attach(&[]);
    let (mut inside, mut outside, mut beside) = (scene.inside_peer(), scene.outside_peer(), scene.outside_peer());
    for route in Route::ALL {
        let (near, far) = connected(&mut outside, &mut beside, route);
        assert_eq!(outside.keepalive(&near), Keepalive::UNTOUCHED);
        assert_eq!(beside.keepalive(&far), Keepalive::UNTOUCHED);
        let (near, far) = connected(&mut outside, &mut inside, route);
        assert_eq!(outside.keepalive(&near), Keepalive::UNTOUCHED);
        assert_eq!(inside.keepalive(&far), USUAL);
    }
}

#[test]
fn a_socket_made_before_and_connected_after_is_covered() {
    let scene = Scene::new("before");
    let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
    let listener = server.listen(Route::V4);
    let established = client.connect("127.0.0.1", listener.local.port());
    server.accept(&listener);
    let unconnected = client.open("127.0.0.1");
    let _attachment = scene.attach(&[]);
    client.connect_socket(&unconnected, "127.0.0.1", listener.local.port());
    let accepted = server.accept(&listener);
    assert_eq!(client.keepalive(&unconnected), USUAL);
    assert_eq!(server.keepalive(&accepted), USUAL, "its listener existed before");
    assert_eq!(client.keepalive(&established), Keepalive::UNTOUCHED, "established before");
}

#[test]
fn nested_cgroups_are_covered() {
    let scene = Scene::new("nested");
    let early = scene.inside.child("early");
    let _attachment = scene.attach(&[]);
    let late = early.child("late");
    for cgroup in [&early, &late] {
        let (mut client, mut server) = (scene.peer_in(cgroup), scene.peer_in(cgroup));
        let (near, far) = connected(&mut client, &mut server, Route::V4);
        assert_eq!(client.keepalive(&near), USUAL);
        assert_eq!(server.keepalive(&far), USUAL);
    }
}

#[test]
fn parameters_follow_the_limit_or_the_command_line() {
    let own = ["--idle", "10", "--interval", "5s", "--probes", "3", "--user-timeout", "1m"];
    let table: [(&[&str], Keepalive, u64); 4] = [
        (&["--timeout", "4s"], Keepalive::on(1, 1, 9), 0),
        (&["--timeout", "350"], USUAL, 0),
        (&["--timeout", "1h30m", "--idle", "4m"], Keepalive::on(240, 0, 9), 0),
        (&own, Keepalive::on(10, 5, 3), 60),
    ];
    for (arguments, mut expected, user_timeout) in table {
        let scene = Scene::new("values");
        let attachment = scene.attach(arguments);
        let (seen, user_timeout_seen) = scene.keepalive_inside();
        if expected.interval == 0 {
            expected.interval = seen.interval; // derived: not this test's matter
        }
        assert_eq!(seen, expected, "{arguments:?}");
        assert_eq!(user_timeout_seen, Duration::from_secs(user_timeout), "{arguments:?}");
        let reported = attachment.status().keepalive;
        assert_eq!(u64::from(reported.idle_s), seen.idle, "{arguments:?}");
        assert_eq!(u64::from(reported.interval_s), seen.interval, "{arguments:?}");
        assert_eq!(u64::from(reported.probes), seen.probes, "{arguments:?}");
    }
}

#[test]
fn the_first_line_says_what_was_attached() {
    let scene = Scene::new("says");
    let attachment = scene.attach(&[]);
    let line = attachment.first_line();
    assert!(line.contains(&scene.inside.kernel_path()), "{line}");
}

#[test]
fn the_first_event_says_what_was_attached() {
    let scene = Scene::new("says-json");
    let attachment = scene.attach(&["-o", "jsonl"]);
    let event: serde_json::Value = serde_json::from_str(attachment.first_line()).unwrap();
    assert_eq!(event["event"], "attached");
}

#[test]
fn a_path_may_be_relative_to_the_mount_and_a_name_chosen() {
    let scene = Scene::new("relative");
    let name = scene.inside.attachment_name() + "-chosen";
    let path = scene.inside.kernel_path();
    let absolute = scene.inside.path_text().to_owned() + "/";
    for cgroup in [&path, &path[1..], &format!("{path}/"), &absolute] {
        let arguments = ["attach", "--cgroup", cgroup, "--name", &name, "--for", "100ms"];
        let output = scene.injector.run(&arguments).ok();
        assert!(output.stdout.starts_with("attached "), "{output:?}");
        assert_eq!(pins(&name), None);
    }
}

/// The socket belongs to the cgroup that made it, in whatever network namespace.
#[test]
fn one_attachment_spans_network_namespaces() {
    let injector = Injector::find();
    let cgroup = Cgroup::new("spans");
    let attachment = injector.attach(&cgroup, &[]);
    let namespaces = [Netns::new("spans"), Netns::new("spans")];
    let mut peers: Vec<(Peer, Peer)> = namespaces
        .iter()
        .map(|netns| Place::cgroup(&cgroup).on(netns))
        .map(|place| (Peer::spawn(place), Peer::spawn(place)))
        .collect();
    for ((client, server), netns) in peers.iter_mut().zip(&namespaces) {
        let (near, _far) = connected(client, server, Route::V6);
        assert_eq!(client.keepalive(&near), USUAL);
        let flow = crate::scene::flow_of(&attachment, &near);
        assert_eq!(flow.netns, netns.inode());
    }
}
