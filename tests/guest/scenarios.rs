//! The features, each shown by one small function. A new one is a line in [`SCENARIOS`] and its function.

use std::fs;
use std::net::{IpAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use injector_tests::{Direction, Keepalive, Outcomes, Owner, Status, pins, tool};

use crate::scene::{Scene, flow_of};
use crate::socket::{V4, V6, addresses, join, keepalive, listen, open, set_idle, set_interval, set_probes, switch};

/// A feature and what shows it.
pub(crate) struct Scenario {
    /// Its name in the table of kernels.
    pub(crate) feature: &'static str,
    /// The checks of `injector doctor` it needs: where one is missing, the kernel can't do it.
    pub(crate) needs: &'static [&'static str],
    /// Panics where it doesn't work.
    pub(crate) run: fn(),
}

/// All of them, in the order of the table.
pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("doctor finds all it needs", &[], doctor),
    scenario("attach mounts bpffs", PROGRAMS, mount_bpffs),
    scenario("inject, IPv4", PROGRAMS, || inject(V4)),
    scenario("inject, IPv6", PROGRAMS, || inject(V6)),
    scenario("respect and tighten", PROGRAMS, respect),
    scenario("probes are sent", PROGRAMS, probe),
    scenario("idle times", PROGRAMS, idle),
    scenario("the peer's probes count", PROGRAMS, peer_probes),
    scenario("cgroup and process of a flow", PROGRAMS, ownership),
    scenario("warnings", PROGRAMS, warnings),
    scenario("on conflict: respect", PROGRAMS, conflict_respect),
    scenario("on conflict: tighten", PROGRAMS, conflict_tighten),
    scenario("on conflict: enforce", PROGRAMS, conflict_enforce),
    scenario("status", PROGRAMS, status),
    scenario("detach leaves nothing", PROGRAMS, detach),
];

const fn scenario(feature: &'static str, needs: &'static [&'static str], run: fn()) -> Scenario {
    Scenario { feature, needs, run }
}

/// The programs of the usual attachment.
const PROGRAMS: &[&str] = &["BTF", "programs"];

/// What the usual limit of 350 s asks for.
const USUAL: Keepalive = Keepalive::on(240, 30, 9);
/// How exact idle times have to be.
const TOLERANCE: Duration = Duration::from_millis(100);
/// Longer than delayed acknowledgements, and no round number of seconds.
const SILENCE: Duration = Duration::from_millis(3300);

fn doctor() {
    let output = Scene::new().injector.run(&["doctor"]);
    assert_eq!(output.code, 0, "{}", output.stdout);
}

fn mount_bpffs() {
    let scene = Scene::new();
    tool("umount", &["/sys/fs/bpf"]);
    let attachment = scene.attach(&[]);
    let mounts = fs::read_to_string("/proc/mounts").expect("procfs is mounted");
    assert!(mounts.contains(" /sys/fs/bpf bpf "), "{mounts}");
    assert!(pins(attachment.name()).is_some_and(|names| !names.is_empty()), "nothing is pinned");
}

fn inject(address: IpAddr) {
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

fn respect() {
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

fn probe() {
    let scene = Scene::new();
    let attachment = scene.attach(&["--timeout", "4s"]);
    let mut pair = scene.pair(V4);
    pair.talk();
    sleep(SILENCE);
    for socket in [&pair.connected, &pair.accepted] {
        let flow = flow_of(&attachment, socket);
        assert!(flow.idle() < Duration::from_secs(1) + TOLERANCE && flow.app_idle() >= SILENCE, "{flow:?}");
        assert_eq!((flow.status, flow.keepalive.unanswered_probes), (Status::Protected, 0), "{flow:?}");
    }
}

fn idle() {
    let scene = Scene::new();
    let attachment = scene.attach(&[]);
    let mut pair = scene.pair(V4);
    sleep(SILENCE / 3);
    let talk_from = Instant::now();
    pair.talk();
    let talk_to = Instant::now();
    sleep(SILENCE);
    for socket in [&pair.connected, &pair.accepted] {
        let (from, flow, to) = (Instant::now(), flow_of(&attachment, socket), Instant::now());
        for told in [flow.idle(), flow.app_idle()] {
            let (least, most) = (from - talk_to, to - talk_from);
            assert!(
                told + TOLERANCE >= least && told <= most + TOLERANCE,
                "told {told:?}, true is {least:?} to {most:?}: {flow:?}"
            );
        }
    }
}

/// Our side is silent; the peer, of whom we know nothing, sends probes.
fn peer_probes() {
    let scene = Scene::new();
    let attachment = scene.attach(&[]);
    let listener = listen(V4);
    set_idle(&listener, 1);
    set_interval(&listener, 1);
    switch(&listener, true);
    let mut pair = join(scene.inside(|| open(V4)), &listener);
    pair.talk();
    // The first scan after the talk sees its segments; only the second one tells whether probes are seen for what they are.
    flow_of(&attachment, &pair.connected);
    sleep(SILENCE);
    let flow = flow_of(&attachment, &pair.connected);
    assert!(flow.idle() < Duration::from_secs(1) + TOLERANCE && flow.app_idle() >= SILENCE, "{flow:?}");
}

fn ownership() {
    let scene = Scene::new();
    let attachment = scene.attach(&[]);
    let pair = scene.pair(V4);
    let flow = flow_of(&attachment, &pair.connected);
    assert_eq!(flow.cgroup.as_deref(), Some(scene.cgroup.kernel_path().as_str()));
    assert_eq!(flow.cgroup_id, scene.cgroup.id());
    let process = flow.process.as_ref().expect("this program holds the socket");
    assert_eq!((process.pid, process.name.as_str()), (std::process::id(), "guest"));
    assert_eq!((flow.netns, flow.uid), (own_netns(), 0));
}

fn own_netns() -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self/ns/net").expect("procfs is mounted").ino()
}

/// An application that switches keepalive off again is told about before and at its limit.
fn warnings() {
    let scene = Scene::new();
    let mut attachment = scene.injector.attach(&scene.cgroup, &["--timeout", "4s", "-o", "jsonl"]);
    let listener = listen(V4);
    let pair = join(scene.inside(|| open(V4)), &listener);
    switch(&pair.connected, false);
    let since = Instant::now();
    for (expected, after) in [("at_risk", Duration::from_millis(3200)), ("overdue", Duration::from_secs(4))] {
        let event = attachment.event(Duration::from_secs(10)).expect("an event in time");
        assert_eq!(event["event"], expected, "{event}");
        let passed = since.elapsed();
        assert!(passed + TOLERANCE >= after && passed < after + Duration::from_millis(1500), "{expected}: {passed:?}");
    }
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
        // Called from outside the cgroup: the guard goes by the socket's.
        call(&pair.connected);
        keepalive(&pair.connected)
    })
}

fn conflict_respect() {
    let off = Keepalive { enabled: 0, ..USUAL };
    let expected = [off, Keepalive::on(7200, 30, 9), Keepalive::on(10, 30, 9), Keepalive::on(240, 30, 3)];
    assert_eq!(after_calls("respect"), expected);
}

fn conflict_tighten() {
    assert_eq!(after_calls("tighten"), [USUAL, USUAL, Keepalive::on(10, 30, 9), Keepalive::on(240, 30, 3)]);
}

fn conflict_enforce() {
    assert_eq!(after_calls("enforce"), [USUAL; 4]);
}

fn status() {
    let scene = Scene::new();
    let attachment = scene.attach(&[]);
    let _pair = scene.pair(V6);
    let status = attachment.status();
    let one = Outcomes { injected: 1, ..Outcomes::default() };
    assert_eq!((status.sockets.active, status.sockets.passive), (one.clone(), one));
    assert_eq!(status.flows.get("protected"), Some(&2), "{:?}", status.flows);
    assert_eq!(status.sockets.failures.len(), 0, "{:?}", status.sockets.failures);
    assert_eq!(status.cgroup, scene.cgroup.kernel_path());
}

fn detach() {
    let scene = Scene::new();
    let attachment = scene.attach(&["--on-conflict", "enforce"]);
    let name = attachment.name().to_owned();
    let treated = scene.pair(V4);
    scene.injector.run(&["detach", "--cgroup", scene.cgroup.path_text()]).ok();
    assert_eq!(pins(&name), None);
    // Without their pins ours would count as programs of others.
    let report = scene.injector.run(&["doctor", "--cgroup", scene.cgroup.path_text(), "-o", "json"]).ok().json();
    assert_eq!(report["foreign_programs"].as_array().map(Vec::len), Some(0), "{report}");
    assert_eq!(keepalive(&treated.connected), USUAL, "what was treated stays");
    switch(&treated.connected, false);
    assert_eq!(keepalive(&treated.connected).enabled, 0, "nobody overrules any more");
    assert_eq!(keepalive(&scene.pair(V4).connected), Keepalive::UNTOUCHED);
}
