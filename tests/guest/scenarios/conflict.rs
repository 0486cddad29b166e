//! Who wins when an application changes its keepalive later on.

use std::net::TcpStream;

use injector_tests::Keepalive;

use super::USUAL;
use crate::scene::Scene;
use crate::socket::{V4, keepalive, set_idle, set_probes, switch};

pub(super) fn respect() {
    let off = Keepalive { enabled: 0, ..USUAL };
    let expected = [off, Keepalive::on(7200, 30, 9), Keepalive::on(10, 30, 9), Keepalive::on(240, 30, 3)];
    assert_eq!(after_calls("respect"), expected);
}

pub(super) fn tighten() {
    assert_eq!(after_calls("tighten"), [USUAL, USUAL, Keepalive::on(10, 30, 9), Keepalive::on(240, 30, 3)]);
}

pub(super) fn enforce() {
    assert_eq!(after_calls("enforce"), [USUAL; 4]);
}

/// What a socket reads back after each of these calls, made on a connection of its own.
fn after_calls(mode: &str) -> [Keepalive; 4] {
    let scene = Scene::new();
    let _attachment = scene.attach(&["--on-conflict", mode]);
    let calls: [fn(&TcpStream); 4] = [
        |socket| switch(socket, false),
        |socket| set_idle(socket, 7200),
        |socket| set_idle(socket, 10),
        |socket| set_probes(socket, 3),
    ];
    calls.map(|call| {
        let pair = scene.pair(V4);
        // Called from outside the cgroup: the guard uses the socket's.
        call(&pair.connected);
        keepalive(&pair.connected)
    })
}
