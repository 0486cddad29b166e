//! What `attach` reports while it watches.

use std::time::{Duration, Instant};

use injector_tests::{Attachment, Peer, Route, Signal, Socket, Status, connected, eventually};
use serde_json::Value;

use crate::scene::{SOON, Scene, assert_nothing_left, flow_of};

/// The watcher's own floor between two scans, and what a busy machine takes for one.
const SLACK: Duration = Duration::from_secs(5);
/// How long a flow is idle when it is at risk, and when it is overdue.
const MARK: Duration = Duration::from_secs(8);
const LIMIT: Duration = Duration::from_secs(16);

/// Waits for the next event about this socket; events about others are theirs.
fn next_event(attachment: &mut Attachment, socket: &Socket) -> (String, Value) {
    loop {
        let event = attachment.event(SOON).expect("an event in time");
        if event["flow"]["cookie"] == socket.cookie {
            let name = event["event"].as_str().expect("events have names").to_owned();
            return (name, event);
        }
    }
}

struct Watched {
    attachment: Attachment,
    client: Peer,
    _server: Peer,
    near: Socket,
    connected: Instant,
    scene: Scene,
}

/// A watched connection without keepalive.
fn exposed(format: &str) -> Watched {
    let scene = Scene::new("events");
    let attachment = scene.attach(&["--timeout", "16s", "--warn", "8s", "--on-conflict", "respect", "-o", format]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let connected_from = Instant::now();
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    client.set(&near, "SO_KEEPALIVE", 0);
    Watched { attachment, client, _server: server, near, connected: connected_from, scene }
}

impl Watched {
    /// The next event is this one, and comes when this much time has passed since the connection, or soon after.
    #[track_caller]
    fn expect(&mut self, expected: &str, after: Duration) -> Value {
        let (name, event) = next_event(&mut self.attachment, &self.near);
        let passed = self.connected.elapsed();
        assert_eq!(name, expected, "{event:#}");
        assert!(passed >= after && passed < after + SLACK, "{expected} after {passed:?}: {event:#}");
        event
    }
}

#[test]
fn at_risk_then_overdue_then_recovered_then_closed() {
    let mut watched = exposed("jsonl");
    let at_risk = watched.expect("at_risk", MARK);
    assert_eq!(at_risk["flow"]["status"], "at_risk");
    assert!(at_risk["flow"]["process"]["pid"] == watched.client.pid(), "{at_risk:#}");
    let overdue = watched.expect("overdue", LIMIT);
    assert_eq!(overdue["flow"]["status"], "overdue");

    watched.client.send(&watched.near, "awake").unwrap();
    watched.connected = Instant::now();
    watched.expect("recovered", Duration::ZERO);

    watched.expect("at_risk", MARK);
    watched.connected = Instant::now();
    watched.client.close(&watched.near);
    let (name, event) = next_event(&mut watched.attachment, &watched.near);
    // At the limit at latest, when the watcher would look anyway.
    assert!(name == "closed" && watched.connected.elapsed() < LIMIT, "{event:#}");

    let output = watched.attachment.stop(Signal::TERM).ok();
    let summary = output.json_lines().pop().expect("a summary");
    assert_eq!(summary["event"], "summary");
    assert_nothing_left(&watched.scene);
}

#[test]
fn a_line_for_each_in_the_table() {
    let mut watched = exposed("table");
    let port = watched.near.local.port().to_string();
    let mut lines = Vec::new();
    while lines.len() < 2 {
        let line = watched.attachment.line(SOON).expect("a line in time");
        if line.contains(&port) {
            lines.push(line);
        }
    }
    assert!(lines[0].contains("at risk"), "{lines:#?}");
    assert!(lines[1].contains("overdue"), "{lines:#?}");
}

/// A peer that vanished: at the mark two keepalive probes have gone out without an answer.
#[test]
fn a_peer_that_no_longer_answers() {
    let scene = Scene::new("stalled");
    let arguments =
        ["--timeout", "20s", "--idle", "1s", "--interval", "1s", "--probes", "100", "--warn", "3500ms", "-o", "jsonl"];
    let mut attachment = scene.attach(&arguments);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, far) = connected(&mut client, &mut server, Route::V4);
    let port = far.local.port();
    scene.netns.nft(&format!(
        "table inet void {{
            chain input {{
                type filter hook input priority 0; policy accept;
                tcp dport {port} drop
            }}
        }}"
    ));
    let (name, event) = next_event(&mut attachment, &near);
    assert_eq!(name, "stalled", "{event:#}");
    let flow = flow_of(&attachment, &near);
    assert_eq!(flow.status, Status::Stalled, "{flow:#?}");
    assert!(flow.keepalive.unanswered_probes >= 2, "{flow:#?}");
}

/// A flow that is adopted may be at its mark already, long before a new one could be.
#[test]
fn adopted_flows_are_scanned_at_once() {
    const MARK: Duration = Duration::from_secs(20);
    let scene = Scene::new("adopted-late");
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    std::thread::sleep(MARK);
    let mut attachment = scene.attach(&["--timeout", "100s", "--warn", "20s", "--idle", "85s", "-o", "jsonl"]);
    scene.injector.adopt(attachment.name());
    let adopted = Instant::now();
    let (name, event) = next_event(&mut attachment, &near);
    assert_eq!(name, "at_risk", "{event:#}");
    assert!(adopted.elapsed() < MARK / 2, "after {:?}", adopted.elapsed());
}

/// Its output has no reader: that is no reason to crash, or to leave anything attached.
#[test]
fn a_closed_pipe_is_no_crash() {
    let scene = Scene::new("unread");
    let script = "\"$@\" | head -n 1 >&2; echo ${PIPESTATUS[0]}";
    let wrapper = ["bash", "-c", script, "bash"];
    let arguments = ["attach", "--cgroup", scene.inside.path_text(), "--for", "2s"];
    let output = scene.injector.run_through(&wrapper, &arguments);
    assert_eq!(output.stdout.trim(), "0", "{output:?}");
    assert_eq!(output.stderr.lines().count(), 1, "only what `head` let through: {output:?}");
    assert_nothing_left(&scene);
}

/// With nothing near its mark the process sleeps.
#[test]
fn watching_quiet_flows_costs_next_to_nothing() {
    let scene = Scene::new("quiet");
    // Cgroups that come and go beside the attached one would be looked at.
    let child = scene.inside.child("child");
    let attachment = scene.injector.attach(&child, &[]);
    let (mut client, mut server) = (scene.peer_in(&child), scene.peer_in(&child));
    let (_near, _far) = connected(&mut client, &mut server, Route::V4);
    let wakeups = || voluntary_switches(attachment.pid());
    // Once it has started in full, which takes a busy machine a while.
    eventually("there are 4 s with hardly a wake-up", SOON, || {
        let before = wakeups();
        std::thread::sleep(Duration::from_secs(4));
        (wakeups() - before <= 8).then_some(())
    });
}

/// How often the threads of a process went to sleep.
fn voluntary_switches(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    tasks
        .map(|task| {
            let status = std::fs::read_to_string(task.expect("procfs lists").path().join("status"));
            let status = status.unwrap_or_default();
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt"));
            line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or_default()
        })
        .sum()
}
