//! Names of attachments, cgroups, processes and mounts that an attacker chose for their effect on a program that reads
//! them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use injector_tests::{Injector, Output, Route, connected, unique_name};

use crate::attach::errors::{USAGE, assert_fails};
use crate::scene::{SOON, Scene, assert_nothing_left};

/// Runs the binary with `arguments`, and behind them what `printf` makes of `last`: bytes that no `&str` can have.
fn run_with_bytes(injector: &Injector, arguments: &[&str], last: &str) -> Output {
    let script = format!("exec \"$@\" \"$(printf '{last}')\"");
    injector.run_through(&["sh", "-c", &script, "sh"], arguments)
}

#[test]
fn names_of_attachments() {
    let scene = Scene::new("named");
    let long = "x".repeat(4096);
    let hostile =
        ["a\\000b/../..", "a/b", "..", ".", ".hidden", "\\033[2J", "\\377\\376", "a\\nb", " ", "\\302\\240", &long];
    for name in hostile {
        for verb in ["attach", "flows", "adopt", "detach"] {
            let arguments: &[&str] = match verb {
                "attach" => &["attach", "--cgroup", scene.inside.path_text(), "--name"],
                verb => &[verb, "--name"],
            };
            let output = run_with_bytes(&scene.injector, arguments, name);
            assert_fails(&output, USAGE, &[]);
            assert!(!output.stderr.contains('\x1b'), "{output:?}");
        }
    }
    assert_nothing_left(&scene);
}

#[test]
fn paths_of_cgroups() {
    let injector = Injector::find();
    let name = unique_name("path");
    let long = "x/".repeat(2048);
    for path in ["../../../etc", "a/../../../tmp", "\\377\\376", "\\033[2J", "/../..", &long, &"y".repeat(4096), ""] {
        for command in [&["attach", "--name", &name, "--for", "1s", "--cgroup"][..], &["flows", "--cgroup"]] {
            let output = run_with_bytes(&injector, command, path);
            assert!([1, USAGE].contains(&output.code), "{output:?}");
            assert!(!output.stderr.contains("panicked") && !output.stderr.contains('\x1b'), "{output:?}");
        }
    }
    assert_eq!(injector_tests::pins(&name), None);
}

/// A process that may create cgroups below an attached one chooses their names.
///
/// SECURITY.md#names
#[test]
fn cgroups_that_were_made_by_others() {
    let scene = Scene::new("made");
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    for name in [&b"\x1b[2J\xff"[..], b"..x", b" ", b"*[", &[b'x'; 255]] {
        let directory = scene.inside.path().join(OsStr::from_bytes(name));
        fs::create_dir(&directory).unwrap();
        let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
        fs::write(directory.join("cgroup.procs"), client.pid().to_string()).unwrap();
        let (near, _far) = connected(&mut client, &mut server, Route::V4);
        for arguments in [&["flows", "--name", attachment.name(), "-o", "wide"][..], &["status"]] {
            let output = scene.injector.run(arguments).ok();
            assert!(!output.stdout.contains('\x1b') && !output.stderr.contains('\x1b'), "{output:?}");
        }
        assert!(attachment.flows().iter().any(|flow| flow.cookie == near.cookie));
        drop((client, server));
        injector_tests::eventually("it is empty", SOON, || fs::remove_dir(&directory).ok());
    }
}

/// Every user may mount something with FUSE, under a name that is no UTF-8.
///
/// SECURITY.md#names
#[test]
fn mounts_that_were_made_by_others() {
    let scene = Scene::new("mounts");
    let directory = tempfile::tempdir().unwrap();
    let script = "there=\"$1/$(printf '\\377 \\n- cgroup2')\" && mkdir \"$there\" && mount -t tmpfs none \"$there\" && \
                  shift && exec \"$@\"";
    let wrapper = ["unshare", "--mount", "sh", "-c", script, "sh", &directory.path().to_string_lossy()];
    let attach = ["attach", "--cgroup", scene.inside.path_text(), "--for", "300ms"];
    scene.injector.run_through(&wrapper, &attach).ok();
    assert_nothing_left(&scene);
}
