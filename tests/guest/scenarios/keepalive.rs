//! Which keepalive a connection gets.

use std::net::IpAddr;

use injector_tests::{Direction, Keepalive, Owner, Status};

use super::USUAL;
use crate::scene::{Scene, flow_of};
use crate::socket::{V4, V6, addresses, join, keepalive, listen, open, set_idle, set_user_timeout, switch};

pub(super) fn inject(address: IpAddr) {
    let scene = Scene::new();
    let before = scene.pair(address);
    let attachment = scene.attach(&[]);
    let during = scene.pair(address);
    for (socket, direction) in [(&during.connected, Direction::Active), (&during.accepted, Direction::Passive)] {
        assert_eq!(keepalive(socket), USUAL, "{direction:?}");
        let flow = flow_of(&attachment, socket);
        assert_eq!((flow.outcome.as_str(), flow.direction, flow.status), ("injected", direction, Status::Protected));
        assert_eq!((flow.local, flow.peer), addresses(socket));
    }
    assert_eq!(keepalive(&before.connected), Keepalive::UNTOUCHED, "connected before");
}

pub(super) fn respect() {
    let scene = Scene::new();
    let attachment = scene.attach(&[]);
    let cases =
        [(60, Keepalive::on(60, 75, 9), "respected", Owner::Application), (7200, USUAL, "tightened", Owner::Injected)];
    for (idle_s, expected, outcome, owner) in cases {
        let listener = listen(V4);
        let socket = scene.inside(|| open(V4));
        switch(&socket, true);
        set_idle(&socket, idle_s);
        let pair = join(socket, &listener);
        assert_eq!(keepalive(&pair.connected), expected);
        let flow = flow_of(&attachment, &pair.connected);
        assert_eq!((flow.outcome.as_str(), flow.keepalive.owner), (outcome, owner));
        assert_eq!(flow.keepalive.probes, 9, "the namespace's, as nothing was set");
    }
}

/// Three probes fit into one that existed before, or none is sent. One that comes later is followed by the guard, or
/// else reported.
pub(super) fn user_timeouts() {
    const FITTED: Keepalive = Keepalive::on(5, 5, 9);
    let scene = Scene::new();
    let attachment = scene.attach(&[]);
    for (ms, expected, status) in [(20_000, FITTED, Status::Protected), (2000, Keepalive::UNTOUCHED, Status::Exposed)] {
        let listener = listen(V4);
        let socket = scene.inside(|| open(V4));
        set_user_timeout(&socket, ms);
        let pair = join(socket, &listener);
        assert_eq!(keepalive(&pair.connected), expected, "{ms} ms");
        assert_eq!(flow_of(&attachment, &pair.connected).status, status, "{ms} ms");
    }
    let later = scene.pair(V4);
    set_user_timeout(&later.connected, 20_000);
    let flow = flow_of(&attachment, &later.connected);
    let is_reported = flow.reason.is_some_and(|reason| reason.contains("TCP_USER_TIMEOUT 20s"));
    match keepalive(&later.connected) {
        FITTED => assert_eq!((flow.status, is_reported), (Status::Protected, false)),
        USUAL => assert_eq!((flow.status, is_reported), (Status::Exposed, true)),
        other => panic!("{other:?}"),
    }
}

/// Each connection has the values of its own limit: by port, by address, and by none.
pub(super) fn hops() {
    let scene = Scene::new();
    let (database, other) = (listen(V4), listen(V4));
    let port = database.local_addr().expect("a listener has an address").port();
    let by_port = format!("db=custom:60s@127.0.0.1:{port}");
    let attachment = scene.attach(&["--hop", &by_port, "--hop", "six=custom:4s@[::1]"]);
    let cases = [
        (V4, database, Some("db"), Keepalive::on(41, 5, 9)),
        (V4, other, None, USUAL),
        (V6, listen(V6), Some("six"), Keepalive::on(1, 1, 9)),
    ];
    for (address, listener, hop, expected) in cases {
        let pair = join(scene.inside(|| open(address)), &listener);
        assert_eq!(keepalive(&pair.connected), expected, "{hop:?}");
        assert_eq!(flow_of(&attachment, &pair.connected).hop.as_deref(), hop);
    }
}
