//! How an attachment ends, and what it leaves.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use injector_tests::{Cgroup, Injector, Keepalive, PINS, Route, Signal, connected, eventually, pins};

use crate::scene::{SOON, Scene, USUAL, assert_nothing_left};

#[test]
fn a_signal_ends_it_with_a_summary_and_nothing_left() {
    for (signal, format) in [(Signal::TERM, "table"), (Signal::INT, "table"), (Signal::TERM, "jsonl")] {
        let scene = Scene::new("signal");
        let mut attachment = scene.attach(&["-o", format]);
        assert!(pins(attachment.name()).is_some_and(|pins| !pins.is_empty()));
        assert_eq!(scene.keepalive_inside().0, USUAL);
        let output = attachment.stop(signal);
        assert_eq!(output.code, 0, "{output:?}");
        let last = output.stdout.lines().last().expect("a summary");
        if format == "jsonl" {
            let summary: serde_json::Value = serde_json::from_str(last).unwrap();
            assert_eq!(summary["event"], "summary");
        } else {
            assert!(!last.starts_with("attached "), "{output:?}");
        }
        assert_nothing_left(&scene);
        assert_eq!(scene.keepalive_inside().0, Keepalive::UNTOUCHED);
    }
}

/// Under `nohup`, and in the background of a shell without job control.
#[test]
fn a_signal_that_was_ignored_from_the_start_stays_so() {
    for (ignored, others) in [("HUP", [Signal::INT, Signal::TERM]), ("HUP INT", [Signal::TERM; 2])] {
        let scene = Scene::new("nohup");
        let _cleanup = scene.injector.clean_up_after(&scene.inside);
        let trap = format!(r#"trap '' {ignored}; exec "$@""#);
        for end in others {
            let attach = ["attach", "--cgroup", scene.inside.path_text()];
            let mut process = scene.injector.spawn_through(&["sh", "-c", &trap, "sh"], &attach);
            assert!(process.expect_line(SOON).starts_with("attached "));
            process.signal(Signal::HUP);
            if ignored.contains("INT") {
                process.signal(Signal::INT);
            }
            assert_eq!(process.wait_if_ends(Duration::from_millis(500)), None, "{ignored}");
            assert_eq!(scene.inside.program_ids("sock_ops").len(), 1);
            process.signal(end);
            assert!(process.wait(SOON).success(), "{}", process.stderr());
            assert_nothing_left(&scene);
        }
    }
}

#[test]
fn it_ends_by_itself_after_the_given_time() {
    let scene = Scene::new("for");
    let started = Instant::now();
    let mut attachment = scene.attach(&["--for", "1s"]);
    assert_eq!(scene.keepalive_inside().0, USUAL);
    let output = attachment.end().ok();
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert!(!output.stdout.is_empty(), "a summary: {output:?}");
    assert_nothing_left(&scene);
}

#[test]
fn keep_leaves_it_working() {
    let scene = Scene::new("keep");
    let mut attachment = scene.attach(&["--keep"]);
    assert_eq!(attachment.stop(Signal::INT).code, 0);
    assert_eq!(scene.keepalive_inside().0, USUAL);
    assert_eq!(attachment.status().state, "attached");
    drop(attachment);
    assert_nothing_left(&scene);
}

#[test]
fn detached_it_works_without_a_process_until_it_is_ended() {
    let scene = Scene::new("detach");
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    assert!(attachment.first_line().starts_with("attached "), "{attachment:?}");
    assert_eq!(scene.keepalive_inside().0, USUAL);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    assert!(attachment.flows().iter().any(|flow| flow.cookie == near.cookie));
    scene.injector.run(&["detach", "--cgroup", scene.inside.path_text()]).ok();
    assert_nothing_left(&scene);
    assert_eq!(client.keepalive(&near), USUAL, "what was injected stays");
}

/// SECURITY.md#kept
#[test]
fn a_killed_process_leaves_protection() {
    let scene = Scene::new("killed");
    let mut attachment = scene.attach(&[]);
    attachment.stop(Signal::KILL);
    assert_eq!(scene.keepalive_inside().0, USUAL);
    assert_eq!(attachment.status().state, "attached");
    let name = attachment.name().to_owned();
    scene.injector.run(&["detach", "--name", &name]).ok();
    assert_nothing_left(&scene);
    assert_eq!(scene.keepalive_inside().0, Keepalive::UNTOUCHED);
}

#[test]
fn it_can_be_attached_again() {
    let scene = Scene::new("again");
    for timeout in ["4s", "350s", "4s"] {
        let mut attachment = scene.attach(&["--timeout", timeout]);
        attachment.stop(Signal::TERM);
    }
    assert_nothing_left(&scene);
}

/// Pins in a private mount namespace end with it, so nothing else is touched.
///
/// SECURITY.md#mounting
#[test]
fn bpffs_is_mounted_where_it_is_missing() {
    let scene = Scene::new("bpffs");
    let without = "umount --all-targets /sys/fs/bpf && exec \"$@\"";
    let wrapper = ["unshare", "--mount", "sh", "-c", without, "sh"];
    let arguments = ["attach", "--cgroup", scene.inside.path_text(), "--for", "1s"];
    let output = scene.injector.run_through(&wrapper, &arguments).ok();
    assert!(output.stdout.starts_with("attached "), "{output:?}");
}

#[test]
fn the_attached_cgroup_may_go_away() {
    let injector = Injector::find();
    let cgroup = Cgroup::new("goes");
    let mut attachment = injector.attach(&cgroup, &[]);
    drop(cgroup);
    // Whatever it makes of that, it neither crashes nor leaves its pins.
    if attachment.line(SOON).is_none() {
        let output = attachment.stop(Signal::TERM);
        assert_eq!(output.code, 0, "{output:?}");
    }
    let name = attachment.name().to_owned();
    drop(attachment);
    assert_eq!(pins(&name), None);
}

/// Wherever it dies, its leftovers don't prevent attaching again.
#[test]
fn a_process_killed_halfway_blocks_nothing() {
    let scene = Scene::new("halfway");
    let attach = ["attach", "--detach", "--cgroup", scene.inside.path_text()];
    for delay in (0..12).map(|step| step * 7) {
        let killed = scene.injector.spawn(&attach);
        thread::sleep(Duration::from_millis(delay));
        drop(killed);
        let again = scene.injector.run(&attach);
        assert!(again.code == 0 || again.stderr.contains("already attached"), "{again:?}");
        assert_eq!(scene.inside.program_ids("sock_ops").len(), 1, "after {delay} ms");
        scene.injector.run(&["detach", "--cgroup", scene.inside.path_text()]).ok();
        assert_nothing_left(&scene);
    }
}

#[test]
fn an_incomplete_attachment_is_reported_and_cleaned_up() {
    let scene = Scene::new("incomplete");
    let attachment = scene.attach(&[]);
    let left = Path::new(PINS).join(attachment.name().to_owned() + "-left");
    std::fs::create_dir(&left).unwrap();
    let name = left.file_name().unwrap().to_str().unwrap();
    let status = scene.injector.run(&["status", "-o", "json"]);
    let detach = scene.injector.run(&["detach", "--name", name]);
    let was_removed = std::fs::remove_dir(&left).is_err();
    let status = status.ok().json();
    let listed = status["attachments"].as_array().unwrap().iter().find(|attachment| attachment["name"] == name);
    assert_eq!(listed.expect("it is listed")["state"], "incomplete");
    assert!(was_removed, "{detach:?}");
}

/// Two lives of one name: the end of the first must not be the end of the second.
#[test]
fn an_old_process_leaves_a_newer_attachment_alone() {
    let scene = Scene::new("newer");
    let mut old = scene.attach(&[]);
    scene.injector.run(&["detach", "--name", old.name()]).ok();
    let newer = scene.attach(&[]);
    let output = old.stop(Signal::TERM);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(scene.inside.program_ids("sock_ops").len(), 1, "{output:?}");
    assert_eq!(newer.status().state, "attached");
    assert_eq!(scene.keepalive_inside().0, USUAL);
}

#[test]
fn a_full_disk_behind_stdout_is_an_error_and_nothing_is_left() {
    let scene = Scene::new("full");
    let wrapper = ["sh", "-c", "exec \"$@\" >/dev/full", "sh"];
    let output = scene.injector.run_through(&wrapper, &["attach", "--cgroup", scene.inside.path_text(), "--for", "5s"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(!output.stderr.contains("panicked"), "{output:?}");
    assert!(output.stderr.contains("writing to stdout: No space left on device"), "{output:?}");
    assert_nothing_left(&scene);
    for arguments in
        [&["--help"][..], &["--version"], &["man"], &["completions", "bash"], &["status"], &["config", "default"]]
    {
        let output = scene.injector.run_through(&wrapper, arguments);
        let says = |what| output.stderr.contains(what);
        assert!(output.code == 1 && says("writing to stdout: No space left") && says("free space"), "{output:?}");
    }
}

#[test]
fn the_programs_speak_on_stderr_when_asked_to() {
    let scene = Scene::new("verbose");
    let mut attachment = scene.attach(&["-vv"]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    let port = near.local.port().to_string();
    eventually("the program logs the socket", SOON, || attachment.stderr().contains(&port).then_some(()));
    let output = attachment.stop(Signal::TERM).ok();
    assert!(!output.stdout.contains(&port), "{output:?}");
    assert!(!output.stderr.contains('\x1b'), "no colours where no terminal is: {output:?}");
}
