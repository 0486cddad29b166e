//! `--track packets`: what passes on the wire, counted packet by packet.

use std::thread;
use std::time::Duration;

use injector_tests::{
    Attachment, FlowPackets, Forger, PacketCounts, Peer, Route, Signal, Socket, connected, eventually, pins,
};
use serde_json::{Value, json};

use crate::scene::{SOON, Scene, flow_of};

const TRACK: [&str; 2] = ["--track", "packets"];
/// A tick of the slowest kernels, and what passes between two looks.
const TOLERANCE_MS: u64 = 20;
/// Beyond delayed acknowledgements.
const QUIET: Duration = Duration::from_millis(300);

/// A connection whose packets are tracked at its near end.
struct Tracked {
    attachment: Attachment,
    client: Peer,
    server: Peer,
    near: Socket,
    far: Socket,
    forger: Forger,
    scene: Scene,
}

impl Tracked {
    /// Each end has said something.
    fn new(route: Route, arguments: &[&str]) -> Self {
        let scene = Scene::new("packets");
        let attachment = scene.attach(&[&TRACK, arguments].concat());
        let forger = Forger::listen(&scene.netns);
        let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
        let (near, far) = connected(&mut client, &mut server, route);
        let mut tracked = Self { attachment, client, server, near, far, forger, scene };
        tracked.assert_works();
        thread::sleep(QUIET);
        tracked
    }

    fn packets(&self) -> FlowPackets {
        flow_of(&self.attachment, &self.near).packets.expect("they are tracked")
    }

    /// Has what the near end sends rewritten before the programs see it.
    fn rewrite_sent(&self, how: &str) {
        let port = self.near.local.port();
        let hook = "type filter hook output priority 0";
        let rule = format!("tcp sport {port} {how}");
        self.scene.netns.nft(&format!("table inet rewrite {{ chain output {{ {hook}; {rule}; }}; }}"));
    }

    fn assert_works(&mut self) {
        self.client.send(&self.near, "ask").expect("the connection works");
        assert_eq!(self.server.receive(&self.far, SOON), Ok("ask".into()));
        self.server.send(&self.far, "answer").expect("the connection works");
        assert_eq!(self.client.receive(&self.near, SOON), Ok("answer".into()));
    }

    /// How often the near end counts the forged packet in a class, and then still works.
    fn forged(&mut self, how: &Value, class: fn(&PacketCounts) -> u32) -> u32 {
        let before = class(&self.packets().received);
        self.forger.forge(&self.far, &self.near, how.clone());
        let counted = || Some(class(&self.packets().received) - before).filter(|count| *count > 0);
        let count = eventually(&format!("{how} is counted"), SOON, counted);
        self.assert_works();
        count
    }
}

#[test]
fn both_modes_report_the_same_idle_times() {
    for route in Route::ALL {
        let scene = Scene::new("modes");
        let by_packets =
            scene.attach(&[&TRACK[..], &["--name", &format!("{}-p", scene.inside.attachment_name())]].concat());
        let by_sockets = scene.attach(&["--timeout", "4s"]);
        let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
        let (near, far) = connected(&mut client, &mut server, route);
        client.send(&near, "once").unwrap();
        for pause in [100, 730, 1300, 900] {
            thread::sleep(Duration::from_millis(pause));
            for socket in [&near, &far] {
                let one = flow_of(&by_packets, socket);
                let other = flow_of(&by_sockets, socket);
                let between = other.age_ms - one.age_ms;
                // A probe may pass between the two looks.
                let passed = other.age_ms - other.idle_ms + TOLERANCE_MS > one.age_ms;
                let apart = other.idle_ms.abs_diff(one.idle_ms + between);
                assert!(passed || apart <= TOLERANCE_MS, "{one:#?} {other:#?}");
                assert!(other.app_idle_ms.abs_diff(one.app_idle_ms + between) <= TOLERANCE_MS, "{one:#?} {other:#?}");
            }
        }
    }
}

#[test]
fn packets_are_classified() {
    for route in Route::ALL {
        let mut tracked = Tracked::new(route, &[]);
        let FlowPackets { received, sent, probed_by } = tracked.packets();
        assert_eq!((received.data, sent.data, probed_by.as_str()), (1, 1, "none"), "{received:?} {sent:?}");
        assert!(received.ack <= 1 && sent.ack >= 1, "{received:?} {sent:?}");
        tracked.server.finish_sending(&tracked.far);
        let fin = || (tracked.packets().received.fin == 1).then_some(());
        eventually("the end is counted", SOON, fin);
        let FlowPackets { received, sent, .. } = tracked.packets();
        assert_eq!((received.unknown, sent.unknown, received.reset), (0, 0, 0));
    }
}

#[test]
fn who_probes() {
    for (route, who) in [(Route::V4, "local"), (Route::V6, "peer"), (Route::Mapped, "both")] {
        let limit = if who == "peer" { "350s" } else { "4s" };
        let mut tracked = Tracked::new(route, &["--timeout", limit]);
        if who != "local" {
            tracked.server.set_keepalive(&tracked.far, 1);
        }
        let flow = eventually("each has probed twice", SOON, || {
            let flow = flow_of(&tracked.attachment, &tracked.near);
            let FlowPackets { received, sent, .. } = flow.packets.as_ref().expect("they are tracked");
            let enough = (who == "peer" || sent.probe >= 2) && (who == "local" || received.probe >= 2);
            enough.then_some(flow)
        });
        let packets = flow.packets.expect("they are tracked");
        assert_eq!(packets.probed_by, who, "{packets:?}");
        assert_eq!((packets.sent.unanswered_probes, packets.received.unanswered_probes), (0, 0), "{packets:?}");
        for counts in [packets.sent, packets.received] {
            assert!(u64::from(counts.probe) <= flow.age_ms / 1000, "one a second: {} ms, {packets:?}", flow.age_ms);
        }
    }
}

#[test]
fn no_answers() {
    let tracked = Tracked::new(Route::V4, &["--timeout", "60s", "--idle", "1s", "--interval", "1s", "--probes", "100"]);
    let port = tracked.far.local.port();
    tracked.scene.netns.nft(&format!(
        "table inet void {{ chain input {{ type filter hook input priority 0; tcp dport {port} drop; }}; }}"
    ));
    let flow = eventually("there were some probes", SOON, || {
        let flow = flow_of(&tracked.attachment, &tracked.near);
        (flow.packets.as_ref().expect("they are tracked").sent.unanswered_probes >= 3).then_some(flow)
    });
    let unanswered = flow.packets.as_ref().expect("they are tracked").sent.unanswered_probes;
    assert!(
        flow.idle_ms + TOLERANCE_MS >= 1000 * u64::from(unanswered),
        "unanswered probes are no activity: {flow:#?}"
    );
}

/// SECURITY.md#packets
#[test]
fn forged_packets_are_classified_and_pass() {
    type Class = fn(&PacketCounts) -> u32;
    let (probe, garbage): (Class, Class) = (|counts| counts.probe, |counts| counts.garbage_probe);
    let (reset, ack, unknown): (Class, Class, Class) =
        (|counts| counts.reset, |counts| counts.ack, |counts| counts.unknown);
    let destination = |count: usize, words: u8| vec![json!([60, words]); count];
    let cases = [
        (Route::V4, json!({"offset": -1}), probe),
        (Route::V4, json!({"offset": -1, "payload": 1}), garbage),
        (Route::V4, json!({"offset": -1, "ip": 40}), probe),
        (Route::V4, json!({"offset": -1, "ip": 12, "options": 40}), probe),
        (Route::Mapped, json!({"offset": -1, "payload": 1}), garbage),
        // In the window, but not due: answered by a challenge (RFC 5961), and the connection lives.
        (Route::V4, json!({"flags": 4, "offset": 9}), reset),
        (Route::V4, json!({"flags": 63, "offset": 9}), reset),
        (Route::V4, json!({}), ack),
        (Route::V4, json!({"flags": 0}), unknown),
        (Route::V4, json!({"flags": 2, "offset": -100}), unknown),
        (Route::V6, json!({"offset": -1}), probe),
        (Route::V6, json!({"offset": -1, "payload": 1}), garbage),
        (Route::V6, json!({"offset": -1, "ip": destination(1, 0)}), probe),
        (Route::V6, json!({"offset": -1, "ip": destination(3, 2)}), probe),
        (Route::V6, json!({"offset": -1, "ip": destination(6, 0)}), probe),
        (Route::V6, json!({"offset": -1, "ip": [[0, 0], [60, 0], [60, 1]]}), probe),
        (Route::V6, json!({"offset": -1, "ip": destination(7, 0)}), unknown),
        (Route::V6, json!({"flags": 4, "offset": 9, "ip": destination(2, 0)}), reset),
        // Put together again before the programs see them; the first one holds all of the header, or a part.
        (Route::V4, json!({"offset": -1, "fragments": [[0, 16], [16, null]]}), probe),
        (Route::V4, json!({"offset": -1, "options": 12, "fragments": [[0, 24], [24, null]]}), probe),
        (Route::V4, json!({"offset": -1, "payload": 1, "fragments": [[16, null], [8, 16], [0, 8]]}), garbage),
        (Route::V4, json!({"offset": -1, "payload": 1, "ip": 40, "fragments": [[0, 8], [8, null]]}), garbage),
        (
            Route::V4,
            json!({"flags": 4, "offset": 9, "payload": 99, "fragments": [[0, 24], [24, 64], [64, null]]}),
            reset,
        ),
        // What came before comes again; an overlap it is only where it brings something new.
        (Route::V4, json!({"offset": -1, "payload": 1, "fragments": [[0, 16], [8, 16], [0, 16], [16, null]]}), garbage),
        (Route::V6, json!({"offset": -1, "options": 4, "payload": 1, "fragments": [[24, null], [0, 24]]}), garbage),
        (
            Route::V6,
            json!({"flags": 4, "offset": 9, "payload": 99, "fragments": [[0, 24], [24, 64], [64, null]]}),
            reset,
        ),
        // A fragment on its own is not put together, and so keeps its header (RFC 6946).
        (Route::V6, json!({"offset": -1, "fragments": [[0, null]]}), probe),
        (Route::V6, json!({"flags": 4, "offset": 9, "ip": destination(1, 0), "fragments": [[0, null]]}), reset),
    ];
    for route in Route::ALL {
        let mut tracked = Tracked::new(route, &[]);
        for (_, how, class) in cases.iter().filter(|(of, ..)| *of == route) {
            assert_eq!(tracked.forged(how, *class), 1, "{route:?} {how} {:?}", tracked.packets());
        }
    }
}

/// The kernel drops most of these before they get to a socket; whatever gets there must not disturb it.
#[test]
fn nonsense_is_harmless() {
    let everywhere = [
        json!({"words": 0}),
        json!({"words": 4}),
        json!({"words": 15}),
        json!({"options": 40, "words": 5, "offset": -200}),
        json!({"options": 40, "words": 15, "cut": 39}),
        json!({"cut": 1}),
        json!({"cut": 12}),
        json!({"cut": 20}),
        json!({"length": 1}),
        json!({"length": 60000}),
        json!({"length": -1}),
        json!({"length": -20}),
        json!({"payload": 1000, "length": -999}),
    ];
    let by_v4 = [json!({"ip": 40, "cut": 30}), json!({"ip": 4, "length": -24})];
    let by_v6 = [json!({"ip": [[44, 0], [60, 0]]}), json!({"ip": [[60, 30]], "cut": 200}), json!({"ip": [[51, 0]]})];
    // Nothing to put together: an end that is missing, a lone later one that could be read as a header, holes, and overlaps.
    // The reset in them would count, and would do no harm.
    let torn = [
        json!([[0, 24]]),
        json!([[0, 8]]),
        json!([[24, 64]]),
        json!([[8, null]]),
        json!([[24, null], [24, 64]]),
        json!([[0, 24], [64, null]]),
        json!([[0, 24], [16, null]]),
        json!([[0, 24], [0, 40], [40, null]]),
        json!([[0, 40], [8, 24], [24, 48], [48, null]]),
        json!([[40, null], [16, 48], [0, 24]]),
        json!([[0, 64], [64, 64], [64, null]]),
        json!([[65520, null]]),
    ];
    let torn = torn.map(|fragments| json!({"flags": 4, "offset": 9, "payload": 99, "fragments": fragments}));
    for (route, own) in [(Route::V4, &by_v4[..]), (Route::V6, &by_v6[..])] {
        let mut tracked = Tracked::new(route, &[]);
        for how in everywhere.iter().chain(own).chain(&torn) {
            tracked.forger.forge(&tracked.far, &tracked.near, how.clone());
            tracked.assert_works();
        }
        let FlowPackets { received, .. } = tracked.packets();
        assert_eq!((received.probe, received.garbage_probe, received.reset), (0, 0, 0), "{received:?}");
    }
}

/// Programs see a local socket's fragments only where its packets are rewritten at output. A later one begins with what
/// can be read as a header: that of TCP, which the rewriting has turned into payload.
#[test]
fn fragments_at_output() {
    type Class = fn(&PacketCounts) -> u32;
    let (data, unknown): (Class, Class) = (|counts| counts.data, |counts| counts.unknown);
    let cases = [
        // More follow; none follow and none may be made; a flag that means nothing (RFC 791, 3.1).
        (Route::V4, "ip frag-off set 0x2000", data),
        (Route::V4, "ip frag-off set 0x4000", data),
        (Route::V4, "ip frag-off set 0x8000", data),
        // Later ones, the last and in between, nearest and farthest.
        (Route::V4, "ip frag-off set 0x0001", unknown),
        (Route::V4, "ip frag-off set 0x2001", unknown),
        (Route::V4, "ip frag-off set 0x1fff", unknown),
        (Route::V4, "ip frag-off set 0xffff", unknown),
        (Route::Mapped, "ip frag-off set 0x2003", unknown),
        // The ports are read as a fragment header: of another protocol, and a later one or not.
        (Route::V6, "ip6 nexthdr set 44", unknown),
        (Route::V6, "ip6 nexthdr set 44 tcp dport set 0", unknown),
        // Of TCP, whose length and flags are where its options were: the first one, with more or without, and later ones.
        (Route::V6, "ip6 nexthdr set 44 @th,160,32 set 0x50100000 @th,0,32 set 0x06000000", data),
        (Route::V6, "ip6 nexthdr set 44 @th,160,32 set 0x50100000 @th,0,32 set 0x06000001", data),
        (Route::V6, "ip6 nexthdr set 44 @th,160,32 set 0x50100000 @th,0,32 set 0x06000008", unknown),
        (Route::V6, "ip6 nexthdr set 44 @th,160,32 set 0x50100000 @th,0,32 set 0x0600fff9", unknown),
    ];
    for route in Route::ALL {
        let mut tracked = Tracked::new(route, &[]);
        for (_, rewrite, class) in cases.iter().filter(|(of, ..)| *of == route) {
            thread::sleep(QUIET);
            let before = tracked.packets().sent;
            tracked.rewrite_sent(rewrite);
            tracked.client.send(&tracked.near, "torn").expect("the connection works");
            let counted = || Some(tracked.packets().sent).filter(|sent| class(sent) > class(&before));
            let sent = eventually(&format!("{rewrite} is counted"), SOON, counted);
            tracked.scene.netns.nft("delete table inet rewrite");
            assert_eq!(tracked.server.receive(&tracked.far, SOON), Ok("torn".into()), "{rewrite}");
            let all = |counts: &PacketCounts| {
                let PacketCounts { data, ack, probe, garbage_probe, reset, fin, unknown, .. } = counts;
                data + ack + probe + garbage_probe + reset + fin + unknown
            };
            assert_eq!(class(&sent) - class(&before), all(&sent) - all(&before), "{rewrite}: {before:?} {sent:?}");
            tracked.assert_works();
        }
    }
}

#[test]
fn it_is_attached_only_where_it_is_asked_for() {
    let scene = Scene::new("hooks");
    let hooks = || scene.inside.program_ids("ingress").len() + scene.inside.program_ids("egress").len();
    let mut attachment = scene.attach(&TRACK);
    assert_eq!(hooks(), 2);
    for (arguments, expected) in [(&[][..], 0), (&TRACK, 2), (&["--track", "sockets"], 0)] {
        attachment.stop(Signal::KILL);
        attachment.take_over(&scene.inside, arguments);
        assert_eq!(hooks(), expected, "{arguments:?}");
        let pinned = pins(attachment.name()).expect("it is attached");
        assert_eq!(pinned.iter().any(|name| name == "egress"), expected > 0, "{pinned:?}");
    }
    drop(attachment);
    assert_eq!((hooks(), pins(&scene.inside.attachment_name())), (0, None));
}

#[test]
fn a_takeover_goes_on_counting() {
    let mut tracked = Tracked::new(Route::V4, &[]);
    tracked.attachment.stop(Signal::KILL);
    let inside = &tracked.scene.inside;
    tracked.attachment.take_over(inside, &["--track", "packets", "--timeout", "60s"]);
    tracked.assert_works();
    assert_eq!(tracked.packets().sent.data, 2);
}
