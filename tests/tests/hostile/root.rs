//! The pin directory itself in the hands of others, each in a namespace of mounts with a bpffs of its own.

use std::fs;

use injector_tests::Output;

use crate::attach::errors::{FAILURE, assert_fails};
use crate::scene::{Scene, assert_nothing_left};

const OWN_MOUNT: &str = "umount --all-targets /sys/fs/bpf && mount -t bpf bpf /sys/fs/bpf && cd /sys/fs/bpf && ";

/// Runs the binary with `arguments` once `prepare`, a piece of shell, has been run in the root of a fresh bpffs.
fn run(scene: &Scene, prepare: &str, arguments: &[&str]) -> Output {
    let script = format!("{OWN_MOUNT}{{ {prepare} ; }} && exec \"$@\"");
    scene.injector.run_through(&["unshare", "--mount", "sh", "-c", &script, "sh"], arguments)
}

/// SECURITY.md#bpffs
#[test]
fn what_others_may_have_made() {
    let scene = Scene::new("root");
    let elsewhere = tempfile::tempdir().unwrap();
    let there = elsewhere.path().to_string_lossy();
    let cases = [
        (format!("ln -s {there} injector"), "/sys/fs/bpf/injector", "symlink"),
        ("ln -s /nowhere injector".to_owned(), "/sys/fs/bpf/injector", "symlink"),
        ("mkdir injector; chown 65534 injector".to_owned(), "/sys/fs/bpf/injector", "user 65534"),
        ("mkdir -m 777 injector; chmod 1777 injector".to_owned(), "/sys/fs/bpf/injector", "1777"),
        (format!("mkdir -m 700 injector; ln -s {there} injector/v1"), "/sys/fs/bpf/injector/v1", "symlink"),
        ("mkdir -m 700 injector; mkdir injector/v1; chmod 770 injector/v1".to_owned(), "injector/v1", "0770"),
        ("mkdir -m 700 injector; mkdir injector/v1; chown 1 injector/v1".to_owned(), "injector/v1", "user 1"),
        ("chmod 777 .".to_owned(), "/sys/fs/bpf:", "0777"),
        ("chown 65534 .".to_owned(), "/sys/fs/bpf:", "user 65534"),
    ];
    let path = scene.inside.path_text();
    let commands: [&[&str]; 6] = [
        &["attach", "--cgroup", path],
        &["status"],
        &["flows"],
        &["adopt", "--cgroup", path],
        &["detach", "--all"],
        &["detach", "--cgroup", path],
    ];
    for (prepare, what, why) in cases {
        for command in commands {
            assert_fails(&run(&scene, &prepare, command), FAILURE, &["refused", what, why]);
        }
        assert_nothing_left(&scene);
    }
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "nothing was made elsewhere");
}

/// The kernel's own default.
#[test]
fn a_mount_that_is_open_to_all_with_the_sticky_bit() {
    let scene = Scene::new("sticky");
    run(&scene, "chmod 1777 .", &["attach", "--cgroup", scene.inside.path_text(), "--for", "300ms"]).ok();
}

#[test]
fn the_agent_reports_why_it_is_not_attached() {
    let scene = Scene::new("agent-root");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    fs::write(&file, format!("cgroups = [{:?}]\n", scene.inside.path_text())).unwrap();
    let script = format!("{OWN_MOUNT} ln -s /tmp injector && exec timeout 2 \"$@\"");
    let wrapper = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    let output =
        scene.injector.run_through(&wrapper, &["run", "--config", &file.to_string_lossy(), "--listen", "127.0.0.1:0"]);
    assert!(output.stderr.contains("refused /sys/fs/bpf/injector: it is a symlink"), "{output:?}");
    assert!(!output.stderr.contains("panicked"), "{output:?}");
    assert_nothing_left(&scene);
}

/// What is ours goes, what is not is named, and nothing is followed.
#[test]
fn detaching_all_is_not_led_astray() {
    let scene = Scene::new("astray");
    let injector = scene.injector.binary();
    let prepare = format!(
        "{injector} attach --detach --name ours --cgroup {inside} >&2 && \
         {injector} attach --detach --name theirs --cgroup {outside} >&2 && \
         mv injector/v1/theirs kept && ln -s /sys/fs/bpf/kept injector/v1/link && ln -s /sys/fs/bpf/kept injector/v0",
        inside = scene.inside.path_text(),
        outside = scene.outside.path_text(),
    );
    let script = "\"$@\"; echo \"code $?\"; ls injector/v1 kept; bpftool link detach pinned kept/keepalive";
    let script = format!("{OWN_MOUNT}{prepare} && {script}");
    let output =
        scene.injector.run_through(&["unshare", "--mount", "sh", "-c", &script, "sh"], &["detach", "--all"]).ok();
    for line in ["detached ours", "code 1", "FLOWS", "keepalive", "link"] {
        assert!(output.stdout.lines().any(|found| found == line), "no {line:?}: {output:?}");
    }
    assert!(!output.stdout.lines().any(|found| found == "ours"), "{output:?}");
    assert!(output.stderr.contains("refused /sys/fs/bpf/injector/v1/link: it is a symlink"), "{output:?}");
    assert_nothing_left(&scene);
}
