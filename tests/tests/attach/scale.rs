//! Many connections under one agent.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use injector_tests::{Attachment, Outcomes, Peer};

use crate::scene::Scene;

/// For one pair of programs.
const OPENS_WITHIN: Duration = Duration::from_secs(60);
/// So many sockets one program may have on most hosts, and have ports for.
const CONNECTIONS_PER_PAIR: usize = 10_000;

/// Opens connections with both ends inside, and returns the programs that hold them.
fn open(scene: &Scene, connections: usize) -> Vec<(Peer, Peer)> {
    scene.netns.sysctl("net.ipv4.ip_local_port_range", "1024 65535");
    let pairs =
        (0..connections).step_by(CONNECTIONS_PER_PAIR).map(|opened| (connections - opened).min(CONNECTIONS_PER_PAIR));
    pairs.map(|count| open_pair(scene, count)).collect()
}

fn open_pair(scene: &Scene, connections: usize) -> (Peer, Peer) {
    let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
    let listener = server.listen_on("0.0.0.0", false);
    let (address, port) = ("127.0.0.1", listener.local.port());
    thread::scope(|scope| {
        let server = &mut server;
        scope.spawn(move || server.accept_many(&listener, connections, OPENS_WITHIN));
        client.connect_many(address, port, connections, OPENS_WITHIN);
    });
    (client, server)
}

fn assert_adds_up(attachment: &Attachment, connections: u64) {
    let expected = Outcomes { injected: connections, ..Outcomes::default() };
    let status = attachment.status();
    assert_eq!((&status.sockets.active, &status.sockets.passive), (&expected, &expected));
    assert_eq!((status.flows["total"], status.flows["protected"]), (2 * connections, 2 * connections));
    let counted: u64 = status.idle_histogram.iter().map(|bucket| bucket.count).sum();
    assert_eq!(counted, 2 * connections);
}

/// How long `flows --at-risk` takes, with nothing at risk: the best of some runs.
fn time_to_list(scene: &Scene, attachment: &Attachment) -> Duration {
    let times = (0..5).map(|_| {
        let started = Instant::now();
        let arguments = ["flows", "--name", attachment.name(), "--at-risk", "-o", "jsonl"];
        assert_eq!(scene.injector.run(&arguments).ok().stdout, "");
        started.elapsed()
    });
    times.min().expect("some runs")
}

/// Resident memory in KiB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).expect("it has memory")
}

/// SECURITY.md#records, SECURITY.md#others
#[test]
fn two_thousand_connections_are_all_accounted_for() {
    const CONNECTIONS: u64 = 2_000;
    let scene = Scene::new("many");
    let attachment = scene.attach(&[]);
    let _peers = open(&scene, 2_000);
    assert_adds_up(&attachment, CONNECTIONS);
    let flows = attachment.flows();
    assert_eq!(flows.len(), 4_000, "each is listed");
    let mut cookies: Vec<u64> = flows.iter().map(|flow| flow.cookie).collect();
    cookies.sort_unstable();
    cookies.dedup();
    assert_eq!(cookies.len(), 4_000, "and none twice");
    assert!(flows.iter().all(|flow| flow.process.is_some()));
    time_to_list(&scene, &attachment);
}

/// The project's own figures for size and speed: on a release build and an idle machine.
///
/// SECURITY.md#records
#[test]
#[ignore = "200,000 sockets take 10 s and 2 GiB of kernel memory; run on a release build and an idle machine"]
fn a_hundred_thousand_connections() {
    const CONNECTIONS: u64 = 100_000;
    let scene = Scene::new("huge");
    let started = Instant::now();
    let attachment = scene.attach(&[]);
    let attached = started.elapsed();
    let _peers = open(&scene, 100_000);
    assert_adds_up(&attachment, CONNECTIONS);
    let reported = time_to_list(&scene, &attachment);
    let resident = resident(attachment.pid());
    let figures = format!("attached in {attached:?}, at-risk flows in {reported:?}, {resident} KiB resident");
    assert!(attached < Duration::from_millis(150), "{figures}");
    assert!(reported < Duration::from_millis(200), "{figures}");
    assert!(resident < 25 * 1024, "{figures}");
}
