//! Attachments of another pin layout, as an older or a newer injector has left them.

use std::thread;

use injector_tests::{Objects, Place, Process, Signal, move_to_other_version};

use crate::attach::errors::{FAILURE, assert_fails};
use crate::scene::{SOON, Scene, USUAL, assert_nothing_left};

/// It would take protection from the first without a word.
#[test]
fn the_name_of_another_cgroup_is_refused() {
    for is_other_version in [false, true] {
        let scene = Scene::new("elsewhere");
        let attachment = scene.injector.attach_detached(&scene.inside, &[]);
        let before = scene.inside.only_program("sock_ops");
        if is_other_version {
            move_to_other_version(attachment.name());
        }
        let other = ["attach", "--detach", "--cgroup", scene.outside.path_text(), "--name", attachment.name()];
        assert_fails(&scene.injector.run(&other), FAILURE, &["already attached", attachment.name()]);
        assert_eq!(scene.inside.only_program("sock_ops"), before);
        assert_eq!(scene.outside.programs(), []);
    }
}

#[test]
fn another_pin_layout_is_taken_over_without_a_gap() {
    let scene = Scene::new("layout");
    let mut attachment = scene.attach(&["--on-conflict", "tighten"]);
    let before = Objects::pinned(attachment.name());
    attachment.stop(Signal::KILL);
    let moved = move_to_other_version(attachment.name());
    assert_eq!(scene.injector.states(attachment.name()), ["other_version"]);
    assert!(scene.injector.run(&["status"]).ok().stdout.contains("another version"));
    thread::scope(|scope| {
        let attaching = scope.spawn(|| attachment.take_over(&scene.inside, &["--on-conflict", "respect"]));
        while !attaching.is_finished() {
            assert_ne!(scene.inside.program_ids("sock_ops"), [] as [u64; 0]);
        }
    });
    attachment.says("attached by another version (v0)");
    assert!(!moved.exists());
    scene.inside.only_program("sock_ops");
    assert_eq!(scene.inside.program_ids("setsockopt"), [] as [u64; 0]);
    assert_eq!(attachment.status().state, "attached");
    assert_eq!(scene.keepalive_inside().0, USUAL);
    before.wait_until_freed();
}

#[test]
fn another_pin_layout_is_detached_by_name() {
    let scene = Scene::new("layout-off");
    let attachment = scene.injector.attach_detached(&scene.inside, &["--on-conflict", "enforce"]);
    let before = Objects::pinned(attachment.name());
    let moved = move_to_other_version(attachment.name());
    scene.injector.run(&["detach", "--name", attachment.name()]).ok();
    assert!(!moved.exists());
    assert_eq!(scene.injector.states(attachment.name()), [] as [String; 0]);
    assert_nothing_left(&scene);
    before.wait_until_freed();
}

/// The lock on its directory is what all versions have in common.
#[test]
fn a_living_watcher_of_another_pin_layout_is_left_alone() {
    let scene = Scene::new("layout-lives");
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    let before = scene.inside.only_program("sock_ops");
    let moved = move_to_other_version(attachment.name());
    let watch = [&moved.to_string_lossy(), "sh", "-c", "echo locked; cat"];
    let mut watcher = Process::spawn(Place::default(), "flock", &watch);
    assert_eq!(watcher.expect_line(SOON), "locked");
    let attach = ["attach", "--cgroup", scene.inside.path_text()];
    assert_fails(&scene.injector.run(&attach), FAILURE, &["already attached", attachment.name()]);
    assert_eq!((scene.inside.only_program("sock_ops"), moved.exists()), (before, true));
    drop(watcher);
}
