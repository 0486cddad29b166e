//! Without root, and with no more capabilities than it needs.

use injector_tests::{Output, pins};

use crate::attach::errors::assert_fails;
use crate::scene::{Scene, assert_nothing_left};

const NO_PRIVILEGE: i32 = 4;
const UNPRIVILEGED: [&str; 6] = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];

/// Runs `injector` as root with only these capabilities.
fn run_with(scene: &Scene, capabilities: &[&str], arguments: &[&str]) -> Output {
    let set = capabilities.iter().fold("-all".to_owned(), |set, one| set + ",+" + one);
    scene.injector.run_through(&["setpriv", "--bounding-set", &set, "--inh-caps", "-all"], arguments)
}

/// SECURITY.md#privileges, SECURITY.md#pins, SECURITY.md#others
#[test]
fn as_an_unprivileged_user() {
    let scene = Scene::new("unprivileged");
    let (injector, _directory) = scene.injector.for_everyone();
    let output = injector.run_through(&UNPRIVILEGED, &["attach", "--cgroup", scene.inside.path_text()]);
    assert_fails(&output, NO_PRIVILEGE, &["root"]);
    assert_nothing_left(&scene);

    let attachment = scene.attach(&[]);
    for arguments in [&["flows"][..], &["detach", "--name", attachment.name()], &["status"]] {
        let output = injector.run_through(&UNPRIVILEGED, arguments);
        assert_fails(&output, NO_PRIVILEGE, &["root"]);
    }
    assert!(pins(attachment.name()).is_some());
    assert_eq!(scene.inside.program_ids("sock_ops").len(), 1);
}

/// SECURITY.md#unprivileged
#[test]
fn what_needs_no_privilege_works_as_an_unprivileged_user() {
    let scene = Scene::new("unprivileged-help");
    let (injector, _directory) = scene.injector.for_everyone();
    for arguments in [&["--help"][..], &["completions", "zsh"], &["man"]] {
        injector.run_through(&UNPRIVILEGED, arguments).ok();
    }
    // A mistake on the command line is reported before the lack of privilege.
    let output =
        injector.run_through(&UNPRIVILEGED, &["attach", "--cgroup", scene.inside.path_text(), "--probes", "128"]);
    assert_fails(&output, crate::attach::errors::USAGE, &["127"]);
}

/// SECURITY.md#privileges
#[test]
fn three_capabilities_are_enough() {
    let scene = Scene::new("capable");
    let arguments = ["attach", "--cgroup", scene.inside.path_text(), "--for", "1s"];
    run_with(&scene, &["bpf", "net_admin", "perfmon"], &arguments).ok();
    assert_nothing_left(&scene);
}

/// SECURITY.md#privileges
#[test]
fn each_of_them_is_named_when_it_is_missing() {
    let scene = Scene::new("incapable");
    let arguments = ["attach", "--cgroup", scene.inside.path_text(), "--for", "1s"];
    let needed = ["bpf", "net_admin", "perfmon"];
    for missing in needed {
        let others: Vec<&str> = needed.into_iter().filter(|one| *one != missing).collect();
        let output = run_with(&scene, &others, &arguments);
        assert_fails(&output, NO_PRIVILEGE, &[&format!("CAP_{}", missing.to_uppercase())]);
        assert_nothing_left(&scene);
    }
}
