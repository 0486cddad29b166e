//! How long connections have been idle, and their owners.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use injector_tests::Status;

use super::{IDLE, TOLERANCE};
use crate::scene::{Scene, flow_of};
use crate::socket::{V4, join, listen, open, set_idle, set_interval, switch};

pub(super) fn probe() {
    let scene = Scene::new();
    let attachment = scene.attach(&["--timeout", "4s"]);
    let mut pair = scene.pair(V4);
    pair.talk();
    sleep(IDLE);
    for socket in [&pair.connected, &pair.accepted] {
        let flow = flow_of(&attachment, socket);
        assert!(flow.idle() < Duration::from_secs(1) + TOLERANCE && flow.app_idle() >= IDLE, "{flow:?}");
        assert_eq!((flow.status, flow.keepalive.unanswered_probes), (Status::Protected, 0), "{flow:?}");
    }
}

pub(super) fn idle() {
    let scene = Scene::new();
    let attachment = scene.attach(&[]);
    let mut pair = scene.pair(V4);
    sleep(IDLE / 3);
    let talk_from = Instant::now();
    pair.talk();
    let talk_to = Instant::now();
    sleep(IDLE);
    for socket in [&pair.connected, &pair.accepted] {
        let (from, flow, to) = (Instant::now(), flow_of(&attachment, socket), Instant::now());
        for reported in [flow.idle(), flow.app_idle()] {
            let (least, most) = (from - talk_to, to - talk_from);
            assert!(
                reported + TOLERANCE >= least && reported <= most + TOLERANCE,
                "reported {reported:?}, true is {least:?} to {most:?}: {flow:?}"
            );
        }
    }
}

/// Our side is idle; the peer, which has no record, sends probes.
pub(super) fn peer_probes() {
    let scene = Scene::new();
    let attachment = scene.attach(&[]);
    let listener = listen(V4);
    set_idle(&listener, 1);
    set_interval(&listener, 1);
    switch(&listener, true);
    let mut pair = join(scene.inside(|| open(V4)), &listener);
    pair.talk();
    // The first scan after the talk sees its segments; only the second one shows whether probes are recognised.
    flow_of(&attachment, &pair.connected);
    sleep(IDLE);
    let flow = flow_of(&attachment, &pair.connected);
    assert!(flow.idle() < Duration::from_secs(1) + TOLERANCE && flow.app_idle() >= IDLE, "{flow:?}");
}

/// An application that switches keepalive off again is reported before and at its limit.
pub(super) fn warnings() {
    let scene = Scene::new();
    let mut attachment =
        scene.injector.attach(&scene.cgroup, &["--timeout", "4s", "--on-conflict", "respect", "-o", "jsonl"]);
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

pub(super) fn ownership() {
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
