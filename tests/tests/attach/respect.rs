//! An application's own keepalive: it stays where it serves, and is tightened where it doesn't.

use injector_tests::{Flow, Keepalive, Outcomes, Owner, Peer, Route, Socket, Status};

use crate::scene::{Scene, USUAL, flow_of};

/// A socket on which the application chose `options` before it connected, and its outcome.
fn connected_with(scene: &Scene, options: &[(&str, u32)]) -> (Peer, Socket, Peer) {
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let listener = server.listen(Route::V4);
    let socket = client.open("127.0.0.1");
    for (option, value) in options {
        client.set(&socket, option, *value);
    }
    client.connect_socket(&socket, "127.0.0.1", listener.local.port());
    server.accept(&listener);
    (client, socket, server)
}

fn outcome(options: &[(&str, u32)]) -> (Keepalive, Flow) {
    let scene = Scene::new("respect");
    let attachment = scene.attach(&["--timeout", "350s"]);
    let (mut client, socket, _server) = connected_with(&scene, options);
    (client.keepalive(&socket), flow_of(&attachment, &socket))
}

#[test]
fn a_keepalive_that_serves_stays() {
    let (keepalive, flow) = outcome(&[("SO_KEEPALIVE", 1), ("TCP_KEEPIDLE", 60)]);
    assert_eq!(keepalive, Keepalive::on(60, 75, 9));
    assert_eq!((flow.outcome.as_str(), flow.keepalive.owner), ("respected", Owner::Application));
    assert_eq!(flow.status, Status::Protected);
}

#[test]
fn one_that_starts_too_late_is_tightened() {
    let (keepalive, flow) = outcome(&[("SO_KEEPALIVE", 1), ("TCP_KEEPIDLE", 7200)]);
    assert_eq!(keepalive, USUAL);
    assert_eq!((flow.outcome.as_str(), flow.status), ("tightened", Status::Protected));
}

#[test]
fn one_that_is_merely_switched_on_is_tightened() {
    let (keepalive, flow) = outcome(&[("SO_KEEPALIVE", 1)]);
    assert_eq!(keepalive, USUAL);
    assert_eq!(flow.outcome, "tightened");
}

#[test]
fn stricter_settings_are_not_loosened() {
    let late_but_dense = [("SO_KEEPALIVE", 1), ("TCP_KEEPIDLE", 7200), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)];
    assert_eq!(outcome(&late_but_dense).0, Keepalive::on(240, 10, 3));
    let off_but_early = [("TCP_KEEPIDLE", 60)];
    assert_eq!(outcome(&off_but_early).0, Keepalive::on(60, 30, 9));
}

/// After a probe the kernel looks again only when the interval is over: with 60/400 the second probe comes too late.
#[test]
fn a_long_interval_is_tightened() {
    let (keepalive, flow) = outcome(&[("SO_KEEPALIVE", 1), ("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 400)]);
    assert_eq!(keepalive, Keepalive::on(60, 30, 9));
    assert_eq!((flow.outcome.as_str(), flow.status), ("tightened", Status::Protected));
}

#[test]
fn an_accepted_socket_has_its_listeners_choice() {
    let scene = Scene::new("listener");
    let attachment = scene.attach(&[]);
    let (mut server, mut client) = (scene.inside_peer(), scene.outside_peer());
    let listener = server.listen(Route::V6);
    server.set_keepalive(&listener, 60);
    client.connect("::1", listener.local.port());
    let accepted = server.accept(&listener);
    assert_eq!(server.keepalive(&accepted), Keepalive::on(60, 60, 9));
    assert_eq!(flow_of(&attachment, &accepted).outcome, "respected");
}

/// SECURITY.md#choices
#[test]
fn a_later_change_wins_and_shows() {
    let scene = Scene::new("later");
    let attachment = scene.attach(&["--on-conflict", "respect"]);
    let (mut client, socket, _server) = connected_with(&scene, &[]);
    assert_eq!(client.keepalive(&socket), USUAL);
    assert_eq!(flow_of(&attachment, &socket).keepalive.owner, Owner::Injected);

    client.set(&socket, "TCP_KEEPIDLE", 600);
    let flow = flow_of(&attachment, &socket);
    assert_eq!((flow.keepalive.idle_s, flow.keepalive.owner), (600, Owner::Application));
    assert_eq!(flow.status, Status::Exposed, "its first probe comes after the limit");
    assert!(flow.reason.as_ref().is_some_and(|reason| reason.contains("600")), "{flow:#?}");

    client.set(&socket, "TCP_KEEPIDLE", 20);
    assert_eq!(flow_of(&attachment, &socket).status, Status::Protected);

    client.set(&socket, "SO_KEEPALIVE", 0);
    let flow = flow_of(&attachment, &socket);
    assert_eq!((flow.keepalive.enabled, flow.keepalive.owner), (false, Owner::None));
    assert_eq!(flow.status, Status::Exposed);
    assert!(flow.reason.as_ref().is_some_and(|reason| reason.contains("SO_KEEPALIVE")), "{flow:#?}");
    assert_eq!(flow.outcome, "injected", "what we did does not change");
}

#[test]
fn a_later_change_of_its_own_choice_shows_as_well() {
    let scene = Scene::new("later-own");
    let attachment = scene.attach(&["--on-conflict", "respect"]);
    let (mut client, socket, _server) = connected_with(&scene, &[("SO_KEEPALIVE", 1), ("TCP_KEEPIDLE", 20)]);
    let reported = |client: &mut Peer, option, value| {
        client.set(&socket, option, value);
        let flow = flow_of(&attachment, &socket);
        assert_eq!(flow.outcome, "respected");
        (flow.status, flow.reason)
    };
    let set = |what: &str| Some(format!("application set {what}"));
    assert_eq!(reported(&mut client, "TCP_KEEPIDLE", 30), (Status::Protected, None));
    assert_eq!(reported(&mut client, "TCP_KEEPIDLE", 7200), (Status::Exposed, set("KEEPIDLE 7200")));
    assert_eq!(reported(&mut client, "TCP_KEEPINTVL", 400), (Status::Exposed, set("KEEPIDLE 7200, KEEPINTVL 400")));
    let off = Some("application switched SO_KEEPALIVE off".to_owned());
    assert_eq!(reported(&mut client, "SO_KEEPALIVE", 0), (Status::Exposed, off));
}

#[test]
fn the_counters_distinguish_them() {
    let scene = Scene::new("apart");
    let attachment = scene.attach(&[]);
    let _peers = [
        connected_with(&scene, &[]),
        connected_with(&scene, &[("SO_KEEPALIVE", 1), ("TCP_KEEPIDLE", 60)]),
        connected_with(&scene, &[("SO_KEEPALIVE", 1), ("TCP_KEEPIDLE", 30)]),
        connected_with(&scene, &[("SO_KEEPALIVE", 1)]),
    ];
    let expected = Outcomes { injected: 1, tightened: 1, respected: 2, ..Outcomes::default() };
    let sockets = attachment.status().sockets;
    assert_eq!(sockets.active, expected);
    assert_eq!(sockets.passive, Outcomes::default());
}
