//! From attaching to detaching.

use std::fs;

use injector_tests::{Keepalive, Outcomes, pins, tool};

use super::USUAL;
use crate::scene::{Scene, flow_of};
use crate::socket::{V4, V6, keepalive, set_idle, switch};

pub(super) fn mount_bpffs() {
    let scene = Scene::new();
    tool("umount", &["/sys/fs/bpf"]);
    // In the foreground: a bpffs of these mounts alone, which are the test's own, is no place to leave pins in.
    let attachment = scene.injector.attach(&scene.cgroup, &[]);
    let mounts = fs::read_to_string("/proc/mounts").expect("procfs is mounted");
    assert!(mounts.contains(" /sys/fs/bpf bpf "), "{mounts}");
    assert!(pins(attachment.name()).is_some_and(|names| !names.is_empty()), "nothing is pinned");
}

pub(super) fn status() {
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

/// With the messages of the programs themselves, which are other programs to the verifier.
pub(super) fn verbose() {
    let scene = Scene::new();
    let attachment = scene.injector.attach(&scene.cgroup, &["-vv", "--on-conflict", "enforce"]);
    let pair = scene.pair(V4);
    attachment.says(" outcome ");
    assert_eq!(keepalive(&pair.connected), USUAL);
    set_idle(&pair.connected, 7200);
    assert_eq!(keepalive(&pair.connected), USUAL, "overruled");
    flow_of(&attachment, &pair.connected);
}

/// Another `attach` takes the place of what is there: flows stay known, and new ones get the new values.
pub(super) fn replace() {
    let scene = Scene::new();
    let attachment = scene.attach(&[]);
    let before = scene.pair(V4);
    scene.injector.run(&["attach", "--detach", "--cgroup", scene.cgroup.path_text(), "--timeout", "60s"]).ok();
    let after = scene.pair(V4);
    assert_eq!([&before, &after].map(|pair| keepalive(&pair.connected)), [USUAL, Keepalive::on(41, 5, 9)]);
    for pair in [&before, &after] {
        assert_eq!(flow_of(&attachment, &pair.connected).limit_ms, 60_000);
    }
}

pub(super) fn detach() {
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
    assert_eq!(keepalive(&treated.connected).enabled, 0, "no program overrules any more");
    assert_eq!(keepalive(&scene.pair(V4).connected), Keepalive::UNTOUCHED);
}
