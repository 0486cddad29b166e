//! Names with line ends, of processes and cgroups: text about them stays on its line.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use injector_tests::{Agent, Place, Process};

use crate::scene::Scene;

/// A name that would be a line of its own.
const FORGED: &str = "x\nERROR forged";
const BLIND: [&str; 5] =
    ["setpriv", "--bounding-set", "-sys_ptrace,-dac_read_search,-dac_override", "--inh-caps", "-all"];

/// The name is there with its line end escaped as `escape`: what follows begins no line.
fn assert_one_line(text: &str, escape: &str) {
    assert!(text.contains(&format!("x{escape}ERROR forged")), "{text}");
    assert!(!text.split(['\n', '\r']).any(|line| line.starts_with("ERROR forged")), "{text}");
}

/// A foreign process of that name, which injector may not inspect.
fn stranger(scene: &Scene) -> (Process, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("room");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    let program = directory.path().join(FORGED);
    symlink("/bin/sh", &program).expect("made");
    let program = program.to_string_lossy().into_owned();
    let script = "echo up; read -r line";
    let arguments = ["--reuid", "65534", "--regid", "65534", "--clear-groups", &program, "-c", script];
    let mut process = Process::spawn(Place::cgroup(&scene.inside), "setpriv", &arguments);
    assert_eq!(process.expect_line(crate::scene::SOON), "up");
    (process, directory)
}

/// SECURITY.md#names
#[test]
fn a_process_forges_no_lines() {
    let scene = Scene::new("lines-process");
    let (_stranger, _directory) = stranger(&scene);
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    let output = scene.injector.run_through(&BLIND, &["adopt", "--name", attachment.name()]);
    assert_one_line(&output.stderr, "\\n");
    drop(attachment);

    let config = "cgroups = [\"{cgroup}\"]\nadopt = true\n";
    let agent = Agent::start_through(&scene.injector, &BLIND, &scene.inside, config);
    agent.says("not covered");
    assert_one_line(&agent.log(), "\\n");
}

/// The kernel takes no `\n` here, as its own files have a line for each cgroup.
///
/// SECURITY.md#names
#[test]
fn a_cgroup_forges_no_lines() {
    let scene = Scene::new("lines-cgroup");
    let child = scene.inside.child(&FORGED.replace('\n', "\r"));
    let agent = Agent::start(&scene.injector, &scene.inside, "cgroups = [\"{cgroup}/*\"]\n");
    assert_one_line(&agent.log(), "\\r");
    let status = scene.injector.run(&["status"]).ok();
    assert_one_line(&status.stdout, "\\r");
    drop((agent, child));
}
