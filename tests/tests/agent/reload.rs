//! Another configuration replaces the applied one, under load.

use std::time::Duration;

use injector_tests::{Churn, Load, Place, Signal};

use super::agent;
use crate::scene::Scene;

const VALID: [&str; 2] =
    ["cgroups = [\"{cgroup}\"]\ntimeout = \"60s\"", "cgroups = [\"{cgroup}\"]\ntimeout = \"350s\""];
const BROKEN: [&str; 3] = [
    "cgroups = [\"{cgroup}\"]\ntimeout = ",
    "cgroups = [\"{cgroup}\"]\ntimeout = \"60s\"\nidle = \"2m\"",
    "cgroups = []\ntimeout = \"10s\"",
];
const CHANGES: usize = 50;

/// Valid and broken by turns: every connection has what a valid one says.
#[test]
fn every_connection_has_the_values_of_a_valid_file() {
    let scene = Scene::new("agent-reload");
    let agent = agent(&scene, VALID[0]);
    let load = Load { rate: 1000, count: u32::MAX, step: 100 };
    let mut churn = Churn::start(Place::cgroup(&scene.inside).on(&scene.netns), load);
    let total = "config_reloads_total";
    for change in 0..CHANGES {
        let (is_valid, nth) = (change % 2 == 0, change / 2);
        assert!(churn.step());
        agent.configure(if is_valid { VALID[(nth + 1) % 2] } else { BROKEN[nth % 3] });
        // The first one was read at the start.
        let (taken, refused) = (nth + 2, nth + usize::from(!is_valid));
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let (taken, refused) = (taken as f64, refused as f64);
        agent.shows(&format!("{total}{{result=\"success\"}}"), taken);
        agent.shows(&format!("{total}{{result=\"failure\"}}"), refused);
        assert_eq!(agent.metric("config_last_reload_successful"), Some(f64::from(u8::from(is_valid))));
    }
    let report = churn.end();
    assert_eq!(report.unprotected, 0, "{report:?}");
    let found: Vec<_> = report.idle.keys().map(String::as_str).collect();
    assert_eq!(found, ["240", "41"]);
    // Counters went on.
    agent.shows("sockets_total{direction=\"active\",outcome=\"injected\"}", f64::from(report.connections));
    assert_eq!(scene.inside.program_ids("sock_ops").len(), 1);
}

#[test]
fn a_hangup_reads_it_again() {
    let scene = Scene::new("agent-hangup");
    let agent = agent(&scene, VALID[0]);
    agent.signal(Signal::HUP);
    agent.shows("config_reloads_total{result=\"success\"}", 2.0);
    std::fs::remove_file(agent.file()).expect("there");
    agent.shows("config_reloads_total{result=\"failure\"}", 1.0);
    assert_eq!(scene.keepalive_inside().0.idle, 41, "the old one stays applied");
    std::thread::sleep(Duration::from_millis(500));
    agent.shows("config_reloads_total{result=\"failure\"}", 1.0);
    agent.configure(VALID[1]);
    agent.shows("config_reloads_total{result=\"success\"}", 3.0);
    assert_eq!(scene.keepalive_inside().0.idle, 240);
}

/// The second of the new programs finds its place taken: the first one goes again, and the next attempt works.
#[test]
fn a_half_applied_reload_is_rolled_back() {
    let scene = Scene::new("agent-half");
    let respect = "cgroups = [\"{cgroup}\"]\non_conflict = \"respect\"\n";
    let agent = agent(&scene, respect);
    let before = (scene.inside.programs(), scene.inside.program_ids("sock_ops"));
    let pins = std::path::Path::new(injector_tests::PINS).join(scene.inside.attachment_name());
    std::os::unix::fs::symlink("/nowhere", pins.join("ingress")).expect("made");

    agent.configure("cgroups = [\"{cgroup}\"]\non_conflict = \"enforce\"\ntrack = \"packets\"\n");
    agent.shows("config_reloads_total{result=\"failure\"}", 1.0);
    assert_eq!((scene.inside.programs(), scene.inside.program_ids("sock_ops")), before);
    assert!(!pins.join("guard").exists());

    std::fs::remove_file(pins.join("ingress")).expect("removed");
    agent.signal(Signal::HUP);
    agent.shows("config_reloads_total{result=\"success\"}", 2.0);
    assert_eq!(scene.inside.program_ids("setsockopt").len(), 1);
    assert_eq!(scene.keepalive_inside().0.idle, 240);
}
