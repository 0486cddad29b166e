//! The idle times that `flows` reports, against an independent witness of the wire.

use std::thread;
use std::time::{Duration, Instant};

use injector_tests::{Attachment, Flow, Peer, Route, Seen, Socket, Witness, connected};

use crate::scene::{Scene, find};

const TOLERANCE: Duration = Duration::from_millis(100);
/// How often the wire may be busy while `flows` looks.
const TRIES: u32 = 20;

/// A connection under watch, and what the test needs to ask about it.
struct Watched {
    attachment: Attachment,
    client: Peer,
    server: Peer,
    near: Socket,
    far: Socket,
    witness: Witness,
    scene: Scene,
}

impl Watched {
    /// Both ends are inside, so that both are flows of the attachment.
    fn new(route: Route, arguments: &[&str]) -> Self {
        let scene = Scene::new("idle");
        let attachment = scene.attach(arguments);
        let witness = Witness::watch(&scene.netns, "lo");
        let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
        let (near, far) = connected(&mut client, &mut server, route);
        Self { attachment, client, server, near, far, witness, scene }
    }

    /// Asks for the flows between two looks at the wire, until nothing passed in between. On a machine that takes longer for
    /// it than probes are apart, something always does.
    fn look(&mut self) -> Look {
        let mut tries = 0..TRIES;
        loop {
            let packet = self.witness.last_packet(&self.near, &self.far);
            let from = Instant::now();
            let flows = self.attachment.flows();
            let to = Instant::now();
            let after = self.witness.last_packet(&self.near, &self.far);
            let rests = after.bounds().0 <= packet.bounds().1;
            if rests || tries.next().is_none() {
                let packet = if rests { packet } else { packet.until(after) };
                return Look { near: find(flows.clone(), &self.near), far: find(flows, &self.far), packet, from, to };
            }
        }
    }
}

/// What `flows` said at some moment between `from` and `to`, and when the last packet had passed.
struct Look {
    near: Flow,
    far: Flow,
    packet: Seen,
    from: Instant,
    to: Instant,
}

impl Look {
    /// The idle times that are right at some moment of the look.
    fn truth(&self, seen: Seen) -> (Duration, Duration) {
        let (earliest, latest) = seen.bounds();
        (self.from - latest, self.to - earliest)
    }

    fn assert_wire_idle(&self) {
        for flow in [&self.near, &self.far] {
            assert_within(flow.idle(), self.truth(self.packet), flow);
            assert_eq!(flow.remaining_ms, flow.limit_ms.cast_signed() - flow.idle_ms.cast_signed(), "{flow:#?}");
        }
    }
}

fn assert_within(reported: Duration, (least, most): (Duration, Duration), flow: &Flow) {
    assert!(
        reported + TOLERANCE >= least && reported <= most + TOLERANCE,
        "reported {reported:?}, true is {least:?} to {most:?}: {flow:#?}"
    );
}

/// Longer than delayed acknowledgements, and no round number of seconds.
const PAUSE: Duration = Duration::from_millis(730);

#[test]
fn nothing_sent_at_all() {
    let mut watched = Watched::new(Route::V4, &[]);
    thread::sleep(PAUSE);
    let look = watched.look();
    look.assert_wire_idle();
    for flow in [&look.near, &look.far] {
        assert!(flow.age_ms.abs_diff(flow.idle_ms) <= 100, "{flow:#?}");
    }
}

#[test]
fn data_one_way() {
    for route in Route::ALL {
        let mut watched = Watched::new(route, &[]);
        for _ in 0..3 {
            thread::sleep(PAUSE / 2);
            watched.client.send(&watched.near, "no answer").unwrap();
        }
        thread::sleep(PAUSE);
        assert_payload_idle(&mut watched);
    }
}

#[test]
fn replies_only() {
    let mut watched = Watched::new(Route::V4, &[]);
    for _ in 0..3 {
        thread::sleep(PAUSE / 2);
        watched.server.send(&watched.far, "unasked").unwrap();
    }
    thread::sleep(PAUSE);
    assert_payload_idle(&mut watched);
}

fn assert_payload_idle(watched: &mut Watched) {
    let payload = watched.witness.last_payload(&watched.near, &watched.far);
    let look = watched.look();
    look.assert_wire_idle();
    for flow in [&look.near, &look.far] {
        assert_within(flow.app_idle(), look.truth(payload), flow);
    }
}

/// Both ends probe here, and answer.
#[test]
fn our_probes_answered() {
    let mut watched = Watched::new(Route::V4, &["--timeout", "4s"]);
    watched.client.send(&watched.near, "once").unwrap();
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(1300));
        assert_payload_idle(&mut watched);
    }
    let look = watched.look();
    assert!(look.near.idle() < Duration::from_secs(2), "{:#?}", look.near);
    assert!(look.near.app_idle() > Duration::from_millis(3800), "{:#?}", look.near);
}

/// The case that no field of `tcp_info` shows: our socket only answers.
#[test]
fn the_peers_probes_only() {
    for route in Route::ALL {
        let mut watched = Watched::new(route, &[]);
        watched.client.send(&watched.near, "once").unwrap();
        watched.server.set_keepalive(&watched.far, 1);
        thread::sleep(Duration::from_millis(3300));
        assert_payload_idle(&mut watched);
        let look = watched.look();
        assert!(look.near.idle() < Duration::from_secs(2), "{:#?}", look.near);
        assert!(look.near.app_idle() > Duration::from_millis(3200), "{:#?}", look.near);
    }
}

/// Probes that get lost may or may not have reached the hop that counts: they are no activity.
#[test]
fn unanswered_probes() {
    let mut watched =
        Watched::new(Route::V4, &["--timeout", "60s", "--idle", "1s", "--interval", "1s", "--probes", "100"]);
    watched.client.send(&watched.near, "once").unwrap();
    thread::sleep(Duration::from_millis(200));
    let answered = watched.witness.last_packet(&watched.near, &watched.far);
    swallow(&watched.scene, &watched.far);
    for _ in 0..4 {
        thread::sleep(PAUSE);
        assert_idle_since(&mut watched, answered);
    }
    assert!(watched.look().near.keepalive.unanswered_probes >= 1);
}

/// Retransmitted data is on the wire, but without an answer: neither the wire nor the application was active.
#[test]
fn unacknowledged_data() {
    let mut watched = Watched::new(Route::V4, &[]);
    thread::sleep(Duration::from_millis(200));
    let answered = watched.witness.last_packet(&watched.near, &watched.far);
    swallow(&watched.scene, &watched.far);
    watched.client.send(&watched.near, "into the void").unwrap();
    for _ in 0..3 {
        thread::sleep(PAUSE);
        let Look { near, .. } = assert_idle_since(&mut watched, answered);
        assert!(near.app_idle() >= near.idle(), "{near:#?}");
    }
}

fn assert_idle_since(watched: &mut Watched, answered: Seen) -> Look {
    let look = watched.look();
    assert_within(look.near.idle(), look.truth(answered), &look.near);
    look
}

/// From now on nothing reaches this socket, nor leaves it.
fn swallow(scene: &Scene, socket: &Socket) {
    let port = socket.local.port();
    scene.netns.nft(&format!(
        "table inet void {{
            chain input {{
                type filter hook input priority 0; policy accept;
                tcp dport {port} drop
                tcp sport {port} drop
            }}
        }}"
    ));
}
