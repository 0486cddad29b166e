//! How long adopted connections have been idle: the time before counts.

use std::ops::RangeInclusive;
use std::thread;
use std::time::{Duration, Instant};

use injector_tests::{
    Attachment, Cgroup, Expiry, Injector, Middlebox, Peer, Place, Route, Seen, Socket, Status, Witness, connected,
    eventually,
};

use crate::scene::{SOON, Scene, find, flow_of};

const TOLERANCE: Duration = Duration::from_millis(100);
/// How often the wire may be busy while `flows` looks.
const TRIES: u32 = 20;
/// Longer than delayed acknowledgements, and no round number of seconds.
const PAUSE: Duration = Duration::from_millis(1730);

/// A connection under watch, with both ends inside and nothing attached.
struct Watched {
    client: Peer,
    server: Peer,
    near: Socket,
    far: Socket,
    witness: Witness,
    scene: Scene,
}

impl Watched {
    fn new(route: Route) -> Self {
        let scene = Scene::new("idle");
        let witness = Witness::watch(&scene.netns, "lo");
        let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
        let (near, far) = connected(&mut client, &mut server, route);
        Self { client, server, near, far, witness, scene }
    }

    fn adopt(&self, arguments: &[&str]) -> Attachment {
        let mut attachment = self.scene.attach(&[&["--existing", "-o", "jsonl"], arguments].concat());
        assert_eq!(attachment.adoption().connections(), 2);
        attachment
    }

    fn last_packet(&mut self) -> Seen {
        self.witness.last_packet(&self.near, &self.far)
    }

    /// Asks for the flows between two looks at the wire, until nothing passed in between. On a machine that takes longer for
    /// it than probes are apart, something always does.
    fn assert_idle(&mut self, attachment: &Attachment) {
        let payload = self.witness.last_payload(&self.near, &self.far);
        let mut tries = 0..TRIES;
        loop {
            let packet = self.last_packet();
            let from = Instant::now();
            let flows = attachment.flows();
            let to = Instant::now();
            let after = self.last_packet();
            let rests = after.bounds().0 <= packet.bounds().1;
            if !rests && tries.next().is_some() {
                continue;
            }
            let packet = if rests { packet } else { packet.until(after) };
            for flow in [find(flows.clone(), &self.near), find(flows, &self.far)] {
                assert!(since(packet, from, to).contains(&flow.idle()), "{:?}: {flow:#?}", since(packet, from, to));
                assert!(
                    since(payload, from, to).contains(&flow.app_idle()),
                    "{:?}: {flow:#?}",
                    since(payload, from, to)
                );
                assert!(flow.idle_ms <= flow.age_ms + 100, "{flow:#?}");
            }
            return;
        }
    }
}

/// What is right to say at some moment between `from` and `to`.
fn since(seen: Seen, from: Instant, to: Instant) -> RangeInclusive<Duration> {
    let (earliest, latest) = seen.bounds();
    (from - latest).saturating_sub(TOLERANCE)..=(to - earliest) + TOLERANCE
}

#[test]
fn after_data_either_way() {
    for route in Route::ALL {
        for by_client in [true, false] {
            let mut watched = Watched::new(route);
            let sent = if by_client {
                watched.client.send(&watched.near, "before")
            } else {
                watched.server.send(&watched.far, "before")
            };
            sent.unwrap();
            thread::sleep(PAUSE);
            let attachment = watched.adopt(&[]);
            watched.assert_idle(&attachment);
            thread::sleep(PAUSE / 2);
            watched.assert_idle(&attachment);
        }
    }
}

/// No field of `tcp_info` shows them.
#[test]
fn after_probes_of_the_peer() {
    let mut watched = Watched::new(Route::V4);
    watched.client.send(&watched.near, "before").unwrap();
    watched.server.set_keepalive(&watched.far, 1);
    thread::sleep(PAUSE * 2);
    let attachment = watched.adopt(&[]);
    watched.assert_idle(&attachment);
    let near = flow_of(&attachment, &watched.near);
    assert!(near.idle() < Duration::from_secs(2) && near.app_idle() > PAUSE, "{near:#?}");
}

#[test]
fn the_first_probe_counts_the_idle_time_before() {
    let mut watched = Watched::new(Route::V4);
    watched.client.send(&watched.near, "before").unwrap();
    thread::sleep(Duration::from_secs(5));
    let before = watched.last_packet();
    let attachment = watched.adopt(&["--timeout", "25s", "--idle", "15s"]);
    let first = eventually("a probe", SOON, || {
        let last = watched.last_packet();
        (last.bounds().0 > before.bounds().1).then_some(last)
    });
    let idle = first.bounds().0 - before.bounds().1;
    // It would be 20 s where the idle time before did not count.
    assert!((14_800..17_500).contains(&idle.as_millis()), "{idle:?}");
    assert_eq!(flow_of(&attachment, &watched.near).status, Status::Protected);
}

/// No hop on this path drops it, so that the probe is answered.
#[test]
fn a_flow_beyond_its_limit_is_tried_at_once() {
    const IDLE: Duration = Duration::from_secs(22);
    let mut watched = Watched::new(Route::V6);
    watched.client.send(&watched.near, "before").unwrap();
    thread::sleep(IDLE);
    let attachment = watched.adopt(&["--timeout", "20s"]);
    // Where it were not tried at once, it would be after 13 s.
    let flow = eventually("a probe", Duration::from_secs(10), || {
        Some(flow_of(&attachment, &watched.near)).filter(|flow| flow.idle() < IDLE)
    });
    assert_eq!(flow.status, Status::Protected, "{flow:#?}");
    watched.assert_idle(&attachment);
}

/// The middlebox has dropped it from its table before anything was attached.
#[test]
fn a_dropped_flow_is_reported() {
    let inside = Cgroup::new("dropped");
    let lab = Middlebox::new(Expiry::Drop, Duration::from_secs(4));
    let mut client = Peer::spawn(Place::cgroup(&inside).on(lab.client()));
    let mut server = Peer::spawn(Place::netns(lab.server()));
    let listener = server.listen_on("0.0.0.0", false);
    let near = client.connect(Middlebox::SERVER_V4, listener.local.port());
    server.accept(&listener);
    thread::sleep(Duration::from_secs(6));
    let mut attachment = Injector::find().attach(&inside, &["--timeout", "4s", "--existing", "-o", "jsonl"]);
    assert_eq!(attachment.adoption().connections(), 1);
    let reported = attachment.event(SOON).expect("it is reported");
    assert_eq!(
        (&reported["event"], &reported["flow"]["cookie"]),
        (&"overdue".into(), &near.cookie.into()),
        "{reported:#}"
    );
}
