//! Which limit applies to which flow: each has the keepalive of its own hop.

use std::fs;
use std::thread;
use std::time::Duration;

use injector_tests::{
    Attachment, Cgroup, Expiry, Flow, Injector, Keepalive, Middlebox, Netns, Peer, Place, Route, Socket, Status,
    connected,
};
use tempfile::NamedTempFile;

use crate::scene::{SOON, Scene, USUAL, find, flow_of};

/// What 4 s ask for.
pub(crate) const TIGHT: Keepalive = Keepalive::on(1, 1, 9);
/// What 60 s ask for.
pub(crate) const SHORT: Keepalive = Keepalive::on(41, 5, 9);
const IDLE: Duration = Duration::from_secs(12);
const ANSWER: Duration = Duration::from_secs(30);

pub(crate) fn file(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().expect("there is room for a temporary file");
    fs::write(file.path(), text).expect("the file is ours");
    file
}

pub(crate) fn path(file: &NamedTempFile) -> &str {
    file.path().to_str().expect("temporary paths are UTF-8")
}

/// The hop and limit of a flow, as `flows` reports them.
#[track_caller]
pub(crate) fn assert_limited(flow: &Flow, hop: Option<&str>, limit_ms: u64) {
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
pub(crate) struct Pair {
    client: Peer,
    pub(crate) near: Socket,
    server: Peer,
    far: Socket,
}

impl Pair {
    pub(crate) fn new(client: Place<'_>, server: Place<'_>, address: &str) -> Self {
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
        self.client.send(&self.near, "alive?").expect("it can be sent");
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
            assert_eq!(flow.idle() + Duration::from_millis(200) > IDLE, !is_probed, "{flow:#?}");
            pair.assert_alive();
        }
    }
}

fn flow_behind_timer(attachment: &Attachment, socket: &Socket) -> Flow {
    let flow = flow_of(attachment, socket);
    let timer = flow.layer7.as_ref().expect("a timer");
    assert_eq!((timer.hop.as_deref(), timer.timeout_ms), (Some("web"), 20_000));
    assert_eq!(flow.reason.as_deref(), Some("keepalive does not help here: web closes at 20s"));
    flow
}

/// Probes reset timers that count packets, and none that count requests.
#[test]
fn keepalive_does_not_help_against_a_timer_of_the_application_layer() {
    let scene = Scene::new("layer7");
    let attachment = scene.attach(&[
        "--timeout",
        "60s",
        "--idle",
        "1s",
        "--interval",
        "1s",
        "--warn",
        "50%",
        "--hop",
        "web=alb:20s@127.0.0.0/8",
    ]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    let (free, _far) = connected(&mut client, &mut server, Route::V6);
    client.send(&near, "request").unwrap();
    let fresh = flow_behind_timer(&attachment, &near);
    assert_eq!((fresh.status, fresh.hop.as_deref()), (Status::Exposed, None));
    for status in [Status::AtRisk, Status::Overdue] {
        let flow = injector_tests::eventually("the status follows the applications", SOON, || {
            Some(flow_behind_timer(&attachment, &near)).filter(|flow| flow.status == status)
        });
        assert!(flow.keepalive.enabled && flow.idle() < Duration::from_secs(2), "{flow:#?}");
        assert_eq!(flow.remaining_ms, 20_000 - flow.app_idle_ms.cast_signed(), "{flow:#?}");
    }
    let kept = flow_of(&attachment, &free);
    assert_eq!((kept.status, kept.layer7), (Status::Protected, None));
    client.send(&near, "another").unwrap();
    assert_eq!(flow_behind_timer(&attachment, &near).status, Status::Exposed);
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
