//! Every mistake a new user can make: what it says, its exit code, and that nothing is left attached or pinned.

use injector_tests::{Injector, Output, cgroup_mount, pins};

use crate::scene::{Scene, assert_nothing_left};

pub(crate) const FAILURE: i32 = 1;
pub(crate) const USAGE: i32 = 2;
pub(crate) const UNSUPPORTED: i32 = 3;

/// The exit code is right, stderr says all of `words`, and stdout is free for data.
#[track_caller]
pub(crate) fn assert_fails(output: &Output, code: i32, words: &[&str]) {
    assert_eq!(output.code, code, "{output:?}");
    for word in words {
        let said = output.stderr.to_lowercase().contains(&word.to_lowercase());
        assert!(said, "no word of {word:?}: {output:?}");
    }
    assert!(!output.stderr.contains("panicked"), "{output:?}");
    assert_eq!(output.stdout, "", "{output:?}");
}

/// Tries to attach to the inside of a scene with these arguments.
#[track_caller]
fn assert_refused(arguments: &[&str], code: i32, words: &[&str]) {
    let scene = Scene::new("refused");
    let command = [&["attach", "--cgroup", scene.inside.path_text()], arguments].concat();
    assert_fails(&scene.injector.run(&command), code, words);
    assert_nothing_left(&scene);
}

#[test]
fn values_out_of_range() {
    let table: [(&[&str], &[&str]); 14] = [
        (&["--probes", "128"], &["probes", "127"]),
        (&["--probes", "0"], &["probes"]),
        (&["--timeout", "100000s", "--idle", "32768s"], &["idle", "32"]),
        (&["--timeout", "100000s", "--interval", "32768s"], &["interval", "32"]),
        (&["--timeout", "350s", "--idle", "350s"], &["idle", "350s"]),
        (&["--timeout", "60s", "--idle", "2m"], &["idle", "timeout"]),
        (&["--timeout", "60s", "--interval", "2m"], &["interval", "timeout"]),
        (&["--idle", "0"], &["idle"]),
        (&["--interval", "0s"], &["interval"]),
        (&["--timeout", "0"], &["timeout"]),
        (&["--timeout", "1s"], &["timeout"]),
        (&["--user-timeout", "10000d"], &["user-timeout"]),
        (&["--warn", "101%"], &["warn"]),
        (&["--timeout", "60s", "--warn", "61s"], &["warn"]),
    ];
    for (arguments, words) in table {
        assert_refused(arguments, USAGE, words);
    }
}

#[test]
fn durations_that_are_none() {
    for text in ["", "abc", "-5s", "5x", "s", "1h30", "4m 30", "99999999999999999999s", "∞"] {
        assert_refused(&[&format!("--timeout={text}")], USAGE, &["timeout"]);
    }
    assert_refused(&["--for", "soon"], USAGE, &["for"]);
    assert_refused(&["--warn", "soon"], USAGE, &["warn"]);
}

#[test]
fn options_that_are_none() {
    assert_refused(&["-o", "yaml"], USAGE, &["yaml", "table", "jsonl"]);
    assert_refused(&["--sideways"], USAGE, &["--sideways"]);
    let injector = Injector::find();
    assert_eq!(injector.run(&["detach"]).code, USAGE);
    assert_eq!(injector.run(&["frobnicate"]).code, USAGE);
    assert_eq!(injector.run(&[]).code, USAGE);
}

#[test]
fn names_that_would_leave_the_pin_directory() {
    for name in ["a/b", "..", ".", "", "../../../tmp/x", "/"] {
        assert_refused(&["--name", name], USAGE, &["name"]);
    }
    assert_refused(&["--name", &"x".repeat(300)], USAGE, &["name"]);
    let injector = Injector::find();
    for name in ["..", "a/b"] {
        assert_fails(&injector.run(&["detach", "--name", name]), USAGE, &["name"]);
        assert_fails(&injector.run(&["flows", "--name", name]), USAGE, &["name"]);
    }
}

#[test]
fn paths_that_are_no_cgroup_v2_directory() {
    let injector = Injector::find();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let missing = cgroup_mount().join("no-such-cgroup");
    let inside_a_cgroup = cgroup_mount().join("cgroup.procs");
    let table = [
        (directory.path().to_path_buf(), "cgroup"),
        (file, "cgroup"),
        (missing, "no-such-cgroup"),
        (inside_a_cgroup, "cgroup.procs"),
        ("/proc".into(), "cgroup"),
        ("no/such/relative/path".into(), "no/such/relative/path"),
    ];
    for (path, word) in table {
        let name = injector_tests::unique_name("no-cgroup");
        let path = path.to_str().unwrap();
        let output = injector.run(&["attach", "--name", &name, "--cgroup", path]);
        assert_fails(&output, USAGE, &[word, path]);
        assert_eq!(pins(&name), None);
    }
}

#[test]
fn paths_that_leave_the_mount() {
    let injector = Injector::find();
    let output = injector.run(&["attach", "--cgroup", "../../../tmp", "--for", "1s"]);
    assert_eq!(output.code, USAGE, "{output:?}");
}

/// From within a cgroup's directory as well: `.` never means the whole host.
#[test]
fn paths_from_the_working_directory() {
    let scene = Scene::new("dot");
    let within = ["sh", "-c", r#"cd "$0" && exec "$@""#, scene.inside.path_text()];
    for path in [".", "./", "./x", "..", "x/.."] {
        let name = injector_tests::unique_name("dot");
        let attach = ["attach", "--name", &name, "--cgroup", path, "--for", "100ms"];
        let output = scene.injector.run_through(&within, &attach);
        assert_fails(&output, USAGE, &["--cgroup", &format!("{path:?}"), "\"/\" is the whole host"]);
        assert_eq!(pins(&name), None);
    }
}

#[test]
fn a_cgroup_of_version_1() {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let version_1 = mounts.lines().find(|line| line.contains(" - cgroup "));
    // Hosts of today have none.
    let Some(path) = version_1.and_then(|line| line.split(' ').nth(4)) else {
        return;
    };
    let name = injector_tests::unique_name("v1");
    let output = Injector::find().run(&["attach", "--name", &name, "--cgroup", path]);
    assert_fails(&output, USAGE, &[path, "cgroup v2"]);
    assert_eq!(pins(&name), None);
}

#[test]
fn attached_already() {
    let scene = Scene::new("already");
    let first = scene.attach(&[]);
    let before = (scene.inside.programs(), pins(first.name()));
    for more in [&[][..], &["--detach"], &["--timeout", "4s"]] {
        let command = [&["attach", "--cgroup", scene.inside.path_text()], more].concat();
        assert_fails(&scene.injector.run(&command), FAILURE, &["already attached", first.name(), "detach"]);
        assert_eq!((scene.inside.programs(), pins(first.name())), before);
    }
    // The same name for another cgroup would hide the first.
    let other = ["attach", "--cgroup", scene.outside.path_text(), "--name", first.name()];
    assert_fails(&scene.injector.run(&other), FAILURE, &["already attached", first.name()]);
    assert_eq!(scene.outside.programs(), []);
    assert_eq!(first.status().state, "attached");
}

#[test]
fn attached_at_the_same_moment() {
    let scene = Scene::new("race");
    let command = ["attach", "--detach", "--cgroup", scene.inside.path_text()];
    let outputs: Vec<Output> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..6).map(|_| scope.spawn(|| scene.injector.run(&command))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let attached = outputs.iter().filter(|output| output.code == 0).count();
    let programs = scene.inside.program_ids("sock_ops").len();
    scene.injector.run(&["detach", "--cgroup", scene.inside.path_text()]).ok();
    // One attaches, the others find what they wanted.
    assert_eq!((attached, programs), (6, 1), "{outputs:#?}");
    assert_nothing_left(&scene);
}

#[test]
fn attachments_that_are_not_there() {
    let scene = Scene::new("absent");
    let name = scene.inside.attachment_name();
    for verb in ["detach", "flows"] {
        let by_name = scene.injector.run(&[verb, "--name", &name]);
        assert_fails(&by_name, FAILURE, &[&name]);
        let by_path = scene.injector.run(&[verb, "--cgroup", scene.inside.path_text()]);
        assert_fails(&by_path, FAILURE, &["attached"]);
    }
}

#[test]
fn flows_options_out_of_range() {
    let scene = Scene::new("flows-usage");
    let attachment = scene.attach(&[]);
    let table: [(&[&str], &str); 4] = [
        (&["--sort", "colour"], "colour"),
        (&["--limit", "-1"], "-1"),
        (&["--watch=never"], "never"),
        (&["-o", "xml"], "xml"),
    ];
    for (arguments, word) in table {
        let command = [&["flows", "--name", attachment.name()], arguments].concat();
        let output = scene.injector.run(&command);
        assert_fails(&output, USAGE, &[word]);
    }
}

/// The namespace of mounts is the test's own; so is the cgroup, should the command find it nevertheless.
#[test]
fn a_host_without_cgroup_v2() {
    let scene = Scene::new("no-mount");
    let without = "grep ' - cgroup2 ' /proc/self/mountinfo | cut -d ' ' -f 5 | xargs -n 1 umount --lazy && exec \"$@\"";
    let wrapper = ["unshare", "--mount", "sh", "-c", without, "sh"];
    let path = scene.inside.kernel_path();
    let output = scene.injector.run_through(&wrapper, &["attach", "--cgroup", &path, "--for", "1s"]);
    assert_fails(&output, UNSUPPORTED, &["cgroup v2", "mount"]);
    assert_nothing_left(&scene);
}

#[test]
fn help_is_there_for_everyone() {
    let injector = Injector::find();
    for arguments in [&["--help"][..], &["attach", "--help"], &["--version"], &["completions", "bash"], &["man"]] {
        let output = injector.run(arguments).ok();
        assert!(output.stdout.contains("injector"), "{arguments:?}: {output:?}");
        assert_eq!(output.stderr, "");
    }
    let help = injector.run(&["--help"]).ok().stdout;
    for verb in ["attach", "flows", "status", "detach", "doctor", "completions", "man"] {
        assert!(help.contains(verb), "{help}");
    }
}
