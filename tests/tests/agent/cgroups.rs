//! Which cgroups the agent is attached to, and what it leaves.

use std::time::Instant;

use injector_tests::{Signal, eventually, pins};

use super::{SHORT, agent};
use crate::scene::{SOON, Scene};

#[test]
fn new_ones_as_they_appear() {
    let scene = Scene::new("agent-globs");
    let first = scene.inside.child("a.service");
    let agent = agent(&scene, "cgroups = [\"{cgroup}/*.service\", \"{cgroup}/later\"]");
    assert_eq!(first.program_ids("sock_ops").len(), 1);
    let ready = agent.get("/readyz");
    assert!(ready.code == 503 && ready.body.contains("later: no such cgroup yet"), "{ready:?}");

    let (second, other) = (scene.inside.child("b.service"), scene.inside.child("c.scope"));
    eventually("it is attached", SOON, || (second.program_ids("sock_ops").len() == 1).then_some(()));
    let later = scene.inside.child("later");
    eventually("it is ready", SOON, || (agent.get("/readyz").code == 200).then_some(()));
    assert_eq!((other.programs(), later.program_ids("sock_ops").len()), (vec![], 1));
    agent.shows("attached_cgroups", 3.0);

    let name = second.attachment_name();
    drop(second);
    eventually("its pins are gone", SOON, || pins(&name).is_none().then_some(()));
    agent.shows("attached_cgroups", 2.0);

    agent.configure("cgroups = [\"{cgroup}/later\"]");
    eventually("it is detached", SOON, || first.programs().is_empty().then_some(()));
    assert_eq!(later.program_ids("sock_ops").len(), 1);
}

/// An agent that only polled would take 10 s for each after the first one. One that has hints may be slow, too, where
/// the machine is busy, but not each time.
#[test]
fn new_ones_are_noticed_at_once() {
    let scene = Scene::new("agent-hints");
    let _agent = agent(&scene, "cgroups = [\"{cgroup}/*.service\"]");
    let times = [0, 1, 2, 3].map(|number| {
        let new = scene.inside.child(&format!("{number}.service"));
        let made = Instant::now();
        eventually("it is attached", SOON, || (new.program_ids("sock_ops").len() == 1).then_some(()));
        made.elapsed()
    });
    assert!(times[1..].iter().any(|time| time.as_secs() < 7), "{times:?}");
}

#[test]
fn an_agent_attached_to_nothing_is_not_ready() {
    let scene = Scene::new("agent-idle");
    let agent = agent(&scene, "cgroups = [\"{cgroup}/kubepods*\", \"{cgroup}/kubelet*/*kubepods*\"]");
    let reported = || agent.log().matches("attached to nothing").count();
    agent.says("attached to nothing: no cgroup matches");
    let ready = agent.get("/readyz");
    assert!(ready.code == 503 && ready.body.contains("kubelet*/*kubepods*"), "{ready:?}");
    assert_eq!(agent.get("/healthz").code, 200);

    // As on a node of kind.
    let kubelet = scene.inside.child("kubelet.slice");
    let kubepods = kubelet.child("kubelet-kubepods.slice");
    eventually("it is ready", SOON, || (agent.get("/readyz").code == 200).then_some(()));
    assert_eq!((kubelet.programs(), kubepods.program_ids("sock_ops").len()), (vec![], 1));
    drop((kubepods, kubelet));
    eventually("it is not", SOON, || (agent.get("/readyz").code == 503).then_some(()));
    // The log is a queue: the agent answers before its last line is written.
    eventually("it is reported again", SOON, || (reported() >= 2).then_some(()));
    assert_eq!(reported(), 2, "once each time: {}", agent.log());
}

#[test]
fn what_is_left_is_as_configured() {
    let scene = Scene::new("agent-exit");
    let mut agent = agent(&scene, SHORT);
    let name = scene.inside.attachment_name();
    for (on_exit, programs) in [("keep", 1), ("detach", 0), ("keep", 1)] {
        agent.stop(Signal::TERM).ok();
        agent.configure(&format!("{SHORT}on_exit = \"{on_exit}\""));
        agent.begin();
        agent.stop(Signal::TERM).ok();
        assert_eq!(
            (scene.inside.program_ids("sock_ops").len(), pins(&name).is_some()),
            (programs, programs == 1),
            "{on_exit}"
        );
        agent.begin();
    }
}

#[test]
fn programs_that_others_detach_are_attached_again() {
    let scene = Scene::new("agent-rival");
    let agent = agent(&scene, SHORT);
    let name = scene.inside.attachment_name();
    scene.injector.run(&["detach", "--name", &name]).ok();
    eventually("it is attached again", SOON, || (scene.inside.program_ids("sock_ops").len() == 1).then_some(()));
    agent.says("was detached by another process");
    // The agent may have made new ones before all of the old ones are gone.
    let _ = std::fs::remove_dir_all(format!("{}/{name}", injector_tests::PINS));
    eventually("it is pinned again", SOON, || pins(&name).filter(|pins| pins.contains(&"keepalive".to_owned())));
    agent.says("pinned again");
}

#[test]
fn permanent_failures_are_reported_at_once() {
    let scene = Scene::new("agent-refused");
    let directory = tempfile::tempdir().expect("room");
    let file = directory.path().join("config.toml");
    let config = file.to_str().expect("text");
    for (text, code, expected) in [
        ("timeout = 60", 2, "cgroups is missing in the file: set cgroups = [\"/\"]"),
        ("cgroups = [\"/\"]\nprobes = 0", 2, "config.toml:2:10: probes is 0"),
        ("cgroups = [\"a/**\"]", 2, "config.toml:1:12: \"**\" is not possible here"),
        ("cgroups = [\"/\"]\non_exit = \"stay\"", 2, "write \"keep\" or \"detach\""),
    ] {
        std::fs::write(&file, text).expect("written");
        let output = scene.injector.run(&["run", "--config", config, "--listen", "127.0.0.1:0"]);
        assert!(output.code == code && output.stderr.contains(expected), "{text}: {output:?}");
    }
    std::fs::write(&file, format!("cgroups = [\"{}\"]", scene.inside.path_text())).expect("written");
    let without = ["setpriv", "--bounding-set=-perfmon,-sys_admin", "--inh-caps=-perfmon,-sys_admin"];
    let output = scene.injector.run_through(&without, &["run", "--config", config, "--listen", "127.0.0.1:0"]);
    assert!(output.code == 4 && output.stderr.contains("CAP_PERFMON missing"), "{output:?}");
    let output = scene.injector.run(&["run", "--config", config, "--listen", "9435"]);
    assert!(output.code == 2 && output.stderr.contains("expected 127.0.0.1:9435"), "{output:?}");
    assert_eq!(scene.inside.programs(), []);
}
