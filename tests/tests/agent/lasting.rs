//! Properties that hold for a long-running agent.

use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};

use injector_tests::{Churn, Load, Place, Signal, Tide};

use super::{SHORT, agent};
use crate::scene::Scene;

#[test]
fn killed_and_started_again_without_an_unprotected_connection() {
    let scene = Scene::new("agent-killed");
    let mut agent = agent(&scene, SHORT);
    let load = Load { rate: 500, count: 5000, step: 500 };
    let mut churn = Churn::start(Place::cgroup(&scene.inside).on(&scene.netns), load);
    while churn.step() {
        agent.stop(Signal::KILL);
        agent.begin();
    }
    let report = churn.report();
    assert_eq!((report.unprotected, report.idle.len()), (0, 1), "{report:?}");
    let log = agent.log();
    assert!(log.contains("taken over as it was"), "{log}");
}

/// A minute in which 1,000 flows come and go each second, with limits that they reach.
#[test]
fn memory_stays_where_it_is() {
    let scene = Scene::new("agent-memory");
    let agent = agent(&scene, SHORT);
    let load = Load { rate: 1000, count: 60_000, step: 5000 };
    let mut churn = Churn::start(Place::cgroup(&scene.inside).on(&scene.netns), load);
    churn.step();
    let (memory, descriptors) = agent.usage();
    while churn.step() {
        assert_eq!(agent.get("/metrics").code, 200);
        assert_eq!(agent.get("/flows").code, 200);
    }
    assert_eq!(churn.report().unprotected, 0);
    let after = agent.usage();
    assert!(after.0 < memory + 8 * 1024 * 1024, "{memory} bytes grew to {}", after.0);
    // One may belong to a connection that is just being closed.
    assert!(after.1 <= descriptors + 1, "{descriptors} descriptors grew to {}", after.1);
}

#[test]
fn with_nothing_to_do_it_does_nothing() {
    let scene = Scene::new("agent-quiet");
    let agent = agent(&scene, "cgroups = [\"{cgroup}\"]");
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let listener = server.listen_on("127.0.0.1", false);
    client.connect_many("127.0.0.1", listener.local.port(), 2000, Duration::from_secs(30));
    server.accept_many(&listener, 2000, Duration::from_secs(30));
    let (before, started) = (agent.cpu(), Instant::now());
    sleep(Duration::from_secs(20));
    let used = agent.cpu().saturating_sub(before);
    assert!(used < started.elapsed() / 100, "{used:?} of CPU in {:?}", started.elapsed());
}

/// What is slow in earnest, made fast: a limit of 60 s, and nothing that lives for longer than two minutes.
///
/// SECURITY.md#findings
#[test]
#[ignore = "takes 11 minutes; its figures are for a release build"]
fn ten_thousand_flows_that_come_idle_and_go() {
    const FLOWS: usize = 10_000;
    const SCRAPED_EVERY: Duration = Duration::from_secs(15);
    let scene = Scene::new("agent-day");
    scene.netns.sysctl("net.ipv4.ip_local_port_range", "1024 65535");
    let agent = agent(&scene, "cgroups = [\"{cgroup}\"]\ntimeout = \"60s\"");
    let (lifetime, lasts) = (Duration::from_secs(120), Duration::from_secs(600));
    let mut tide = Tide::rise(Place::cgroup(&scene.inside).on(&scene.netns), FLOWS, lifetime, lasts);
    assert_eq!((agent.get("/metrics").code, tide.opened(SCRAPED_EVERY)), (200, None));
    let ((memory, descriptors), cpu, started) = (agent.usage(), agent.cpu(), Instant::now());
    let mut most = memory;
    let opened = loop {
        if let Some(opened) = tide.opened(SCRAPED_EVERY) {
            break opened;
        }
        for status in ["at_risk", "overdue", "stalled"] {
            assert_eq!(agent.metric(&format!("flows{{status=\"{status}\"}}")), Some(0.0), "{status}");
        }
        most = most.max(agent.usage().0);
    };
    let (used, took) = (agent.cpu().saturating_sub(cpu), started.elapsed());
    let share = 100.0 * used.as_secs_f64() / took.as_secs_f64();
    let (after, left) = agent.usage();
    let reported = format!(
        "{opened} flows in {took:?}: {share:.2}% of a core; {memory} bytes, {most} at most, {after} at the end; \
         {descriptors} descriptors, {left} at the end"
    );
    let _ = writeln!(std::io::stderr(), "{reported}");
    assert!(share < 1.0, "{reported}");
    assert!(most < memory + 4 * 1024 * 1024, "{reported}");
    assert!(left <= descriptors + 1, "{reported}");
    for (direction, outcome) in [("active", "no_storage"), ("passive", "no_storage"), ("active", "failed")] {
        let name = format!("sockets_total{{direction=\"{direction}\",outcome=\"{outcome}\"}}");
        assert_eq!(agent.metric(&name), Some(0.0), "{name}");
    }
    agent.shows("flows{status=\"protected\"}", 0.0);
}
