//! What is reported of the host itself.

use std::fs;

use injector_tests::tool;

use crate::scene::{FINDINGS, Scene, UNSUPPORTED};

pub(super) fn doctor() {
    let output = Scene::new().injector.run(&["doctor"]);
    assert_eq!(output.code, 0, "{}", output.stdout);
}

/// Under kernel lockdown at confidentiality no program may read what the kernel keeps. Not all kernels refuse to load one
/// that would, so this has to be seen before. There is no way back until the next boot.
pub(super) fn lockdown() {
    let scene = Scene::new();
    tool("mount", &["-t", "securityfs", "securityfs", "/sys/kernel/security"]);
    fs::write("/sys/kernel/security/lockdown", "confidentiality").expect("a kernel with lockdown");
    let output = scene.injector.run(&["doctor"]);
    assert_eq!(output.code, FINDINGS, "{}", output.stdout);
    let reported = output.stdout.lines().find(|line| line.starts_with("lockdown "));
    assert!(reported.is_some_and(|line| line.contains("MISSING  confidentiality")), "{}", output.stdout);
    let output = scene.injector.run(&["attach", "--detach", "--cgroup", scene.cgroup.path_text()]);
    assert_eq!(output.code, UNSUPPORTED, "{output:?}");
    assert!(output.stderr.contains("lockdown is at confidentiality"), "{}", output.stderr);
}
