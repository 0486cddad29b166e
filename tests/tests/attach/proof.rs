//! "attached" is verified by a connection, or reported as not verified.

use std::fs;
use std::path::Path;

use injector_tests::{Cgroup, Output};

use crate::scene::{Scene, assert_nothing_left};

const NOTE: &str = "not verified";

fn attach(scene: &Scene, cgroup: &Cgroup, more: &[&str]) -> Output {
    scene.injector.run(&[&["attach", "--cgroup", cgroup.path_text(), "--for", "1s"], more].concat()).ok()
}

#[test]
fn the_connection_that_proves_it_leaves_nothing() {
    let scene = Scene::new("proof");
    let output = attach(&scene, &scene.inside, &[]);
    assert!(!output.stderr.contains(NOTE), "{output:?}");
    assert!(output.stdout.contains("sockets: none; flows: none"), "it is not counted: {output:?}");
    let processes = fs::read_to_string(scene.inside.path().join("cgroup.procs")).expect("it is there");
    assert_eq!(processes, "", "no process stays in the cgroup");
    assert_nothing_left(&scene);
}

#[test]
fn attachments_that_can_not_be_verified_are_reported() {
    let scene = Scene::new("unproved");
    let freeze = |value: &str| fs::write(scene.inside.path().join("cgroup.freeze"), value).expect("it can be frozen");
    freeze("1");
    let frozen = attach(&scene, &scene.inside, &[]);
    let untested = attach(&scene, &scene.inside, &["--no-self-test"]);
    freeze("0");
    assert!(frozen.stderr.contains("not verified: the cgroup is frozen"), "{frozen:?}");
    assert!(!untested.stderr.contains(NOTE), "{untested:?}");
    let unit = scene.inside.child("empty.service");
    let output = attach(&scene, &unit, &[]);
    assert!(output.stderr.contains("not verified: nothing runs in the unit"), "{output:?}");
    let arguments = ["attach", "--cgroup", scene.inside.path_text(), "--for", "1s"];
    let output = scene.injector.run_through(&["unshare", "--net"], &arguments).ok();
    assert!(output.stderr.contains("not verified: no connection over loopback"), "{output:?}");
    assert_nothing_left(&scene);
}

/// A cgroup that distributes a controller to those below may have no processes of its own: one below is made, and is gone.
#[test]
fn a_cgroup_without_processes_of_its_own_is_proved_from_below() {
    let scene = Scene::new("distributes");
    let path = scene.inside.path();
    let top = path.parent().expect("it has one");
    let available = fs::read_to_string(path.join("cgroup.controllers")).expect("it is there");
    let offered = fs::read_to_string(top.join("cgroup.controllers")).expect("it is there");
    let controller = offered.split_whitespace().next().unwrap_or_else(|| panic!("cgroup v2 has no controller here"));
    let switch = |directory: &Path, sign: &str| {
        fs::write(directory.join("cgroup.subtree_control"), format!("{sign}{controller}"))
    };
    if !available.contains(controller) {
        switch(top, "+").expect("the root distributes it");
    }
    switch(path, "+").expect("nothing runs in it");
    let output = attach(&scene, &scene.inside, &[]);
    assert!(!output.stderr.contains(NOTE), "{output:?}");
    let below = fs::read_dir(path).expect("it is there").flatten().filter(|entry| entry.path().is_dir()).count();
    assert_eq!(below, 0, "nothing is left below");
    switch(path, "-").expect("nothing needs it");
    assert_nothing_left(&scene);
}
