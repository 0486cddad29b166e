//! A cgroup that is removed while something is attached to it.

use injector_tests::{Keepalive, Peer, Place, Route, connected, pins};

use crate::scene::{SOON, Scene};

#[test]
fn the_watch_ends_by_itself_and_cleans_up() {
    let scene = Scene::new("removed");
    let child = scene.inside.child("child");
    // A short limit has it look again soon.
    let mut attachment = scene.injector.attach(&child, &["--timeout", "4s", "--keep"]);
    let name = attachment.name().to_owned();
    drop(child);
    let output = attachment.end().ok();
    assert!(output.stderr.contains("was removed"), "{output:?}");
    assert_eq!(pins(&name), None);
}

#[test]
fn status_does_not_claim_to_be_at_work() {
    let scene = Scene::new("removed-status");
    let child = scene.inside.child("child");
    let attachment = scene.injector.attach_detached(&child, &[]);
    assert_eq!(attachment.status().state, "attached");
    drop(child);
    injector_tests::eventually("the kernel takes the program off", SOON, || {
        (attachment.status().state == "cgroup_removed").then_some(())
    });
    scene.injector.run(&["detach", "--name", attachment.name()]).ok();
    assert_eq!(pins(attachment.name()), None);
}

#[test]
fn a_cgroup_of_the_same_path_is_another_one() {
    let scene = Scene::new("recreated");
    let child = scene.inside.child("child");
    let before = scene.injector.attach_detached(&child, &[]);
    drop(child);
    let child = scene.inside.child("child");
    let keepalive = |child| {
        let mut client = Peer::spawn(Place::cgroup(child).on(&scene.netns));
        let (near, _far) = connected(&mut client, &mut scene.outside_peer(), Route::V4);
        client.keepalive(&near)
    };
    assert_eq!(keepalive(&child), Keepalive::UNTOUCHED);
    injector_tests::eventually("the kernel takes the program off", SOON, || {
        (before.status().state == "cgroup_removed").then_some(())
    });
    let _after = scene.injector.attach(&child, &["--timeout", "350s"]);
    assert_eq!(keepalive(&child), crate::scene::USUAL);
}
