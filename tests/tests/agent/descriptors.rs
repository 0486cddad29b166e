//! An agent that has few file descriptors.

use std::fs;

use injector_tests::{Signal, eventually, tool};

use super::agent;
use crate::scene::{SOON, Scene};

/// The lowest descriptor that is free.
fn free(pid: u32) -> usize {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").flatten();
    let open: Vec<usize> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    (0..=open.len()).find(|number| !open.contains(number)).expect("there is one")
}

fn limit(pid: u32, soft_and_hard: &str) {
    tool("prlimit", &["--pid", &pid.to_string(), &format!("--nofile={soft_and_hard}")]);
}

#[test]
fn it_takes_as_many_as_it_may() {
    let scene = Scene::new("agent-limit");
    let cgroups: Vec<_> = (0..12).map(|number| scene.inside.child(&format!("{number}.service"))).collect();
    let configuration = "cgroups = [\"{cgroup}/*.service\"]";
    let mut agent = agent(&scene, configuration);
    agent.stop(Signal::TERM).ok();

    agent.begin_through(&["prlimit", "--nofile=64:4096"]);
    agent.shows("attached_cgroups", 12.0);
    agent.stop(Signal::TERM).ok();

    // What others leave to it is not enough for all: it attaches to some, and goes on.
    agent.begin_through(&["prlimit", "--nofile=160:160"]);
    agent.says("file descriptors are in use");
    let attached = agent.metric("attached_cgroups").expect("exported");
    assert!((1.0..12.0).contains(&attached), "{attached}");
    let ready = agent.get("/readyz");
    assert!(ready.code == 503 && ready.body.contains("LimitNOFILE"), "{ready:?}");
    assert_eq!(agent.get("/healthz").code, 200);
    agent.configure("cgroups = [\"{cgroup}/1*.service\"]");
    agent.shows("attached_cgroups", 3.0);
    eventually("it is ready", SOON, || (agent.get("/readyz").code == 200).then_some(()));
    drop(agent);
    drop(cgroups);
}

#[test]
fn failing_scans_are_reported() {
    let scene = Scene::new("agent-blind");
    let agent = agent(&scene, super::SHORT);
    let _flow = super::exposed(&scene);
    let overdue = "flows{status=\"overdue\"}";
    agent.shows(overdue, 1.0);
    agent.shows("scan_failures_total", 0.0);
    let known = agent.metric("last_scan_timestamp_seconds").expect("exported");

    eventually("scans fail", SOON, || {
        // One for a client, and none for a scan. The previous client may not have been dropped yet.
        limit(agent.pid(), &format!("{}:4096", free(agent.pid()) + 1));
        agent.metric("scan_failures_total").filter(|failures| *failures > 0.0)
    });
    let last = agent.metric("last_scan_timestamp_seconds").expect("exported");
    assert!(last >= known, "{last}");
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(agent.metric("last_scan_timestamp_seconds"), Some(last), "no scan, no news");
    let at_risk = "flows_at_risk{pod_namespace=\"_unknown\",workload=\"_unknown\"}";
    for flows in [overdue, at_risk] {
        assert_eq!(agent.metric(flows), Some(1.0), "{flows}, as it was seen last");
    }
    for path in ["/flows", "/flows?at_risk=1"] {
        let answer = agent.get(path);
        assert!(answer.code == 503 && answer.body.contains("os error 24"), "{path}: {answer:?}");
    }

    limit(agent.pid(), "1024:4096");
    let goes_on = || agent.metric("last_scan_timestamp_seconds").filter(|time| *time > last);
    eventually("scans go on", SOON, goes_on);
    // An answer is kept for a second, a refusal as well.
    eventually("flows are listed", SOON, || (agent.get("/flows").code == 200).then_some(()));
}
