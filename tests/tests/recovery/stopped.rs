//! Processes that are stopped in the middle of what they do, and hold a lock.

use std::path::Path;

use injector_tests::{Agent, PINS, Place, Process, Route, Signal, connected, eventually};
use serde_json::Value;

use crate::agent::SHORT;
use crate::attach::errors::{FAILURE, assert_fails};
use crate::scene::{SOON, Scene};

/// A process that holds the lock of scans, as a `flows` does that was stopped half-way.
fn holder(directory: &Path) -> Process {
    let script = "echo held; exec sleep 60";
    let arguments = ["--exclusive", "--no-fork", &directory.to_string_lossy(), "sh", "-c", script];
    let mut holder = Process::spawn(Place::default(), "flock", &arguments);
    assert_eq!(holder.expect_line(SOON), "held");
    holder
}

/// SECURITY.md#locks
#[test]
fn commands_name_the_process_that_blocks_them() {
    let scene = Scene::new("stopped-commands");
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    let holder = holder(&attachment.generations()[0]);
    holder.signal(Signal::STOP);
    let named = format!("process {} (", holder.pid());
    let cure = format!("kill -CONT {}", holder.pid());
    let output = scene.injector.run(&["flows", "--name", attachment.name()]);
    assert_fails(&output, FAILURE, &["is locked by", &named, "which is stopped", &cure]);
    let status = scene.injector.run(&["status"]).ok();
    assert!(status.stdout.contains("not scanned: ") && status.stdout.contains(&named), "{status:?}");
    drop(holder);
    assert!(attachment.flows().is_empty());
}

/// Another process attaches, and was stopped half-way: flows are watched nevertheless.
///
/// SECURITY.md#locks
#[test]
fn the_agent_sees_meanwhile_what_happens() {
    let scene = Scene::new("stopped-attach");
    let agent = Agent::start(&scene.injector, &scene.inside, SHORT);
    let holder = holder(Path::new(PINS));
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    client.set(&near, "SO_KEEPALIVE", 0);
    agent.shows("flows_expired_total", 1.0);
    let flows = agent.get("/flows");
    assert!(flows.code == 200 && flows.body.contains("\"overdue\""), "{flows:?}");
    agent.says(&format!("process {} (", holder.pid()));
    drop(holder);
}

/// SECURITY.md#locks
#[test]
fn the_agent_does_not_wait() {
    let scene = Scene::new("stopped-agent");
    let attachment = scene.injector.clean_up_after(&scene.inside);
    let agent = Agent::start(&scene.injector, &scene.inside, "cgroups = [\"{cgroup}\"]\ntimeout = \"4s\"\n");
    let directory = attachment.generations().remove(0);
    let holder = holder(&directory);
    let named = format!("process {} (", holder.pid());
    // It is asked for more than once, and answers each time.
    for _ in 0..3 {
        let answer = agent.get("/flows");
        assert!(answer.code == 503 && answer.body.contains(&named), "{answer:?}");
        assert_eq!(agent.get("/healthz").code, 200);
        assert_eq!(agent.get("/metrics").code, 200);
        assert_eq!(agent.get("/status").code, 200);
    }
    agent.says(&named);
    drop(holder);
    eventually("it scans again", SOON * 3, || {
        let answer = agent.get("/flows");
        let list = serde_json::from_str::<Value>(&answer.body).ok();
        (answer.code == 200 && list.is_some_and(|list| list["totals"]["flows"] == 0)).then_some(())
    });
}
