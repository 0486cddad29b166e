//! Which limit applies to which flow: each has the keepalive of its own hop.

use std::fmt::Write as _;
use std::fs;
use std::thread;
use std::time::Duration;

use injector_tests::{
    Attachment, Cgroup, Expiry, Flow, Injector, Keepalive, Middlebox, Netns, Peer, Place, Route, Socket, Status,
    connected,
};
use tempfile::NamedTempFile;

use crate::scene::{Scene, USUAL, find, flow_of};

/// What 4 s ask for.
const TIGHT: Keepalive = Keepalive::on(1, 1, 9);
/// What 60 s ask for.
const SHORT: Keepalive = Keepalive::on(41, 5, 9);
const IDLE: Duration = Duration::from_secs(12);
const ANSWER: Duration = Duration::from_secs(3);

fn file(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().expect("there is room for a temporary file");
    fs::write(file.path(), text).expect("the file is ours");
    file
}

fn path(file: &NamedTempFile) -> &str {
    file.path().to_str().expect("temporary paths are UTF-8")
}

/// The hop and limit of a flow, as `flows` tells them.
#[track_caller]
fn assert_limited(flow: &Flow, hop: Option<&str>, limit_ms: u64) {
    assert_eq!((flow.hop.as_deref(), flow.limit_ms), (hop, limit_ms), "{flow:#?}");
    assert_eq!(flow.remaining_ms, limit_ms.cast_signed() - flow.idle_ms.cast_signed(), "{flow:#?}");
    assert_eq!(flow.status, Status::Protected, "{flow:#?}");
}

const TWO_HOPS: &str = r#"
[[hop]]
name = "box"
kind = "custom"
timeout = "4s"
remote = ["10.77.2.0/24", "fd77:2::/64"]

[[hop]]
name = "link"
kind = "custom"
timeout = "60s"
remote = ["127.0.0.0/8", "::1"]
"#;

/// A client inside with a connection to each of these addresses, where a server outside listens.
fn clients(inside: &Cgroup, outside: &Cgroup, namespaces: [&Netns; 2], addresses: &[&str]) -> Vec<Pair> {
    let [near, far] = namespaces;
    addresses
        .iter()
        .map(|address| Pair::new(Place::cgroup(inside).on(near), Place::cgroup(outside).on(far), address))
        .collect()
}

/// Two ends of a connection.
struct Pair {
    client: Peer,
    near: Socket,
    server: Peer,
    far: Socket,
}

impl Pair {
    fn new(client: Place<'_>, server: Place<'_>, address: &str) -> Self {
        let (mut client, mut server) = (Peer::spawn(client), Peer::spawn(server));
        let listener = server.listen_on(if address.contains(':') { "::" } else { "0.0.0.0" }, true);
        let near = client.connect(address, listener.local.port());
        let far = server.accept(&listener);
        Self { client, near, server, far }
    }

    fn keepalive(&mut self) -> Keepalive {
        self.client.keepalive(&self.near)
    }

    fn assert_alive(&mut self) {
        self.client.send(&self.near, "alive?").unwrap();
        assert_eq!(self.server.receive(&self.far, ANSWER), Ok("alive?".into()));
    }
}

#[test]
fn each_flow_has_the_keepalive_of_its_own_hop() {
    let (inside, outside) = (Cgroup::new("two"), Cgroup::new("not-two"));
    let lab = Middlebox::new(Expiry::Drop, Duration::from_secs(4));
    let hops = file(TWO_HOPS);
    let attachment = Injector::find().attach(&inside, &["--config", path(&hops)]);
    let servers = [Middlebox::SERVER_V4, Middlebox::SERVER_V6, "::ffff:10.77.2.2"];
    let mut boxed = clients(&inside, &outside, [lab.client(), lab.server()], &servers);
    let own = [lab.client(), lab.client()];
    let mut linked = clients(&inside, &outside, own, &["127.0.0.1", "::1", "::ffff:127.0.0.1"]);
    let mut other = clients(&inside, &outside, own, &["10.77.1.2", "fd77:1::2"]);
    let groups = [
        (&mut boxed, Some("box"), TIGHT, 4_000),
        (&mut linked, Some("link"), SHORT, 60_000),
        (&mut other, None, USUAL, 350_000),
    ];
    thread::sleep(IDLE);
    let flows = attachment.flows();
    for (pairs, hop, keepalive, limit_ms) in groups {
        for pair in pairs {
            let flow = find(flows.clone(), &pair.near);
            assert_eq!(pair.keepalive(), keepalive, "{flow:#?}");
            assert_limited(&flow, hop, limit_ms);
            let is_probed = limit_ms == 4_000;
            assert_eq!(flow.idle() < Duration::from_secs(4), is_probed, "{flow:#?}");
            assert_eq!(flow.idle() > IDLE - Duration::from_millis(200), !is_probed, "{flow:#?}");
            pair.assert_alive();
        }
    }
}

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

fn told_of_timer(attachment: &Attachment, socket: &Socket) -> Flow {
    let flow = flow_of(attachment, socket);
    let timer = flow.layer7.as_ref().expect("a timer");
    assert_eq!((timer.hop.as_deref(), timer.timeout_ms), (Some("web"), 4_000));
    assert_eq!(flow.reason.as_deref(), Some("keepalive does not help here: web closes at 4s"));
    flow
}

/// Probes hold off what counts packets, and nothing that counts requests.
#[test]
fn keepalive_does_not_help_against_a_timer_of_the_application_layer() {
    let scene = Scene::new("layer7");
    let attachment = scene.attach(&["--timeout", "5s", "--idle", "1s", "--hop", "web=alb:4s@127.0.0.0/8"]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    let (free, _far) = connected(&mut client, &mut server, Route::V6);
    client.send(&near, "request").unwrap();
    let fresh = told_of_timer(&attachment, &near);
    assert_eq!((fresh.status, fresh.hop.as_deref()), (Status::Exposed, None));
    for status in [Status::AtRisk, Status::Overdue] {
        let flow = injector_tests::eventually("the status follows the applications", Duration::from_secs(8), || {
            Some(told_of_timer(&attachment, &near)).filter(|flow| flow.status == status)
        });
        assert!(flow.keepalive.enabled && flow.idle() < Duration::from_secs(2), "{flow:#?}");
        assert_eq!(flow.remaining_ms, 4_000 - flow.app_idle_ms.cast_signed(), "{flow:#?}");
    }
    let kept = flow_of(&attachment, &free);
    assert_eq!((kept.status, kept.layer7), (Status::Protected, None));
    client.send(&near, "another").unwrap();
    assert_eq!(told_of_timer(&attachment, &near).status, Status::Exposed);
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
    assert_eq!(flow_of(&attachment, &sockets[1]).status, Status::Exposed);

    attach(&["--existing"]);
    let fresh = connected(&mut client, &mut server, Route::V4).0;
    let fresh = client.keepalive(&fresh);
    assert_ne!(fresh, SHORT);
    assert_eq!(sockets.each_ref().map(|socket| client.keepalive(socket)), [fresh, TIGHT]);
    assert_eq!(flow_of(&attachment, &sockets[1]).status, Status::Protected);
}

#[test]
fn timeouts_counts_the_flows_of_each_hop() {
    let scene = Scene::new("counted");
    let hops = [
        ("injtest-counted", "custom:60s@127.0.0.0/8"),
        ("injtest-web", "alb:60s@127.0.0.1/32"),
        ("injtest-none", "custom:60s@10.0.0.0/8"),
    ]
    .map(|(name, rest)| format!("{name}={rest}"));
    let arguments: Vec<&str> = hops.iter().flat_map(|hop| ["--hop", hop]).collect();
    let _attachment = scene.attach(&arguments);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let _pairs = [Route::V4, Route::V4, Route::V6].map(|route| connected(&mut client, &mut server, route));
    let document = scene.injector.run(&[&["timeouts", "-o", "json"], &arguments[..]].concat()).ok().json();
    let flows = |name: &str| {
        let hops = document["hops"].as_array().expect("hops are listed");
        hops.iter().find(|hop| hop["name"] == name).unwrap_or_else(|| panic!("no {name}: {document:#}"))["flows"]
            .clone()
    };
    assert_eq!(["injtest-counted", "injtest-web", "injtest-none"].map(flows), [2, 2, 0]);
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
