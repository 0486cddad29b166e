//! Applications with a `TCP_USER_TIMEOUT`: the kernel ends a connection by it as soon as one probe is unanswered, so probes
//! far apart would make it weaker than it is without us.

use std::{thread, time::Duration};

use injector_tests::{Attachment, Expiry, Keepalive, Middlebox, Owner, Peer, Place, Route, Socket, Status, connected};

use crate::scene::{Scene, USUAL, flow_of};

const OFF: Keepalive = Keepalive { enabled: 0, idle: 7200, interval: 75, probes: 9 };
const FITTED: Keepalive = Keepalive::on(5, 5, 9);

/// A connection whose application chose `options` before it connected.
fn connected_with(client: &mut Peer, server: &mut Peer, options: &[(&str, u32)]) -> Socket {
    let listener = server.listen(Route::V4);
    let socket = client.open("127.0.0.1");
    for (option, value) in options {
        client.set(&socket, option, *value);
    }
    client.connect_socket(&socket, "127.0.0.1", listener.local.port());
    server.accept(&listener);
    socket
}

#[track_caller]
fn assert_left_alone(attachment: &Attachment, socket: &Socket, user_timeout: &str) {
    let flow = flow_of(attachment, socket);
    assert_eq!((flow.status, flow.keepalive.owner), (Status::Exposed, Owner::None), "{flow:#?}");
    let reason = flow.reason.expect("there is one");
    assert!(reason.contains(&format!("TCP_USER_TIMEOUT {user_timeout}")), "{reason}");
}

#[test]
fn three_probes_fit_into_an_earlier_one() {
    let table = [
        ("TCP_USER_TIMEOUT", 20_000, FITTED),
        ("TCP_USER_TIMEOUT", 600_000, Keepalive::on(150, 30, 9)),
        ("TCP_USER_TIMEOUT", 3_600_000, USUAL),
    ];
    for mode in ["respect", "tighten", "enforce"] {
        let scene = Scene::new("fits");
        let attachment = scene.attach(&["--on-conflict", mode]);
        let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
        for (option, value, expected) in table {
            let socket = connected_with(&mut client, &mut server, &[(option, value)]);
            assert_eq!(client.keepalive(&socket), expected, "{mode} {value}");
            assert_eq!(client.user_timeout(&socket), Duration::from_millis(value.into()));
            assert_eq!(flow_of(&attachment, &socket).status, Status::Protected, "{mode} {value}");
        }
        let socket = connected_with(&mut client, &mut server, &[("TCP_USER_TIMEOUT", 19_999)]);
        assert_eq!(client.keepalive(&socket), OFF, "{mode}");
        assert_left_alone(&attachment, &socket, "19999ms");
    }
}

#[test]
fn one_that_comes_later_is_followed() {
    let scene = Scene::new("follows");
    let attachment = scene.attach(&[]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    let steps = [
        (20_000, FITTED),
        (40_000, Keepalive::on(10, 10, 9)),
        (0, USUAL),
        (5000, Keepalive { enabled: 0, ..USUAL }),
        (20_000, FITTED),
        (0, USUAL),
    ];
    for (value, expected) in steps {
        client.set(&near, "TCP_USER_TIMEOUT", value);
        assert_eq!(client.keepalive(&near), expected, "{value} ms");
        if expected.enabled == 0 {
            assert_left_alone(&attachment, &near, "5s");
        } else {
            let flow = flow_of(&attachment, &near);
            assert_eq!((flow.status, flow.keepalive.owner), (Status::Protected, Owner::Injected), "{value}: {flow:#?}");
        }
    }
    // Times of the application's own have to fit as well, and come back where they were shorter.
    client.set(&near, "TCP_KEEPIDLE", 3);
    client.set(&near, "TCP_USER_TIMEOUT", 20_000);
    client.set(&near, "TCP_KEEPINTVL", 100);
    assert_eq!(client.keepalive(&near), Keepalive::on(3, 5, 9));
    client.set(&near, "TCP_USER_TIMEOUT", 0);
    assert_eq!(client.keepalive(&near), Keepalive::on(3, 30, 9));
}

#[test]
fn one_that_comes_later_is_reported_without_the_guard() {
    let scene = Scene::new("reports");
    let attachment = scene.attach(&["--on-conflict", "respect"]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    client.set(&near, "TCP_USER_TIMEOUT", 20_000);
    assert_eq!(client.keepalive(&near), USUAL);
    let flow = flow_of(&attachment, &near);
    assert_eq!(flow.status, Status::Exposed, "{flow:#?}");
    let reason = "application set TCP_USER_TIMEOUT 20s: would not survive one lost probe";
    assert_eq!(flow.reason.as_deref(), Some(reason));
    scene.injector.adopt(attachment.name());
    assert_eq!(client.keepalive(&near), FITTED);
    assert_eq!(flow_of(&attachment, &near).status, Status::Protected);
}

#[test]
fn adopted_connections_are_fitted_too() {
    let scene = Scene::new("adopts");
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let sockets = [0, 20_000, 2000].map(|value| {
        let (near, _far) = connected(&mut client, &mut server, Route::V4);
        client.set(&near, "TCP_USER_TIMEOUT", value);
        near
    });
    let attachment = scene.attach(&["--timeout", "6000s"]);
    scene.injector.adopt(attachment.name());
    let expected = [Keepalive::on(4114, 514, 9), FITTED, OFF];
    assert_eq!(sockets.each_ref().map(|socket| client.keepalive(socket)), expected);
    assert_left_alone(&attachment, &sockets[2], "2s");
    drop(attachment);
}

/// One probe is lost in an outage, and is over before the next: with the application's user timeout and our usual times
/// that would end the connection.
#[test]
fn an_outage_of_one_probe_ends_nothing() {
    let lab = Middlebox::new(Expiry::Drop, Duration::from_secs(60));
    let scene = Scene::new("outage");
    let _attachment = scene.attach(&["--timeout", "30s", "--idle", "4s", "--interval", "3s"]);
    let mut server = Peer::spawn(Place::netns(lab.server()));
    let listener = server.listen_on("0.0.0.0", false);
    let mut clients = [&scene.inside, &scene.outside].map(|cgroup| {
        let mut client = Peer::spawn(Place::cgroup(cgroup).on(lab.client()));
        let socket = client.open(Middlebox::SERVER_V4);
        client.set(&socket, "TCP_USER_TIMEOUT", 2000);
        client.connect_socket(&socket, Middlebox::SERVER_V4, listener.local.port());
        let far = server.accept(&listener);
        (client, socket, far)
    });
    thread::sleep(Duration::from_millis(2500));
    lab.lose(100);
    thread::sleep(Duration::from_secs(3));
    lab.lose(0);
    thread::sleep(Duration::from_secs(4));
    for (client, socket, far) in &mut clients {
        client.send(socket, "alive").unwrap();
        assert_eq!(server.receive(far, Duration::from_secs(5)).unwrap(), "alive");
    }
}
