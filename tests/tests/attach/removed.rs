//! A cgroup that is removed while something is attached to it.

use injector_tests::{Attachment, Cgroup, Keepalive, Peer, Place, Route, Signal, connected, eventually, pins};

use super::errors::FAILURE;
use crate::scene::{SOON, Scene};

#[test]
fn the_watch_ends_by_itself_and_cleans_up() {
    let scene = Scene::new("removed");
    let child = scene.inside.child("child");
    // A short limit has it look again soon.
    let mut attachment = scene.injector.attach(&child, &["--timeout", "4s", "--keep"]);
    let name = attachment.name().to_owned();
    drop(child);
    let output = attachment.end();
    assert_eq!(output.code, FAILURE, "nothing is attached any more: {output:?}");
    assert!(output.stderr.contains("nothing is attached: the cgroup was removed ("), "{output:?}");
    assert_eq!(pins(&name), None);
}

/// As a unit that is started again, whose cgroup is recreated.
#[test]
fn the_watch_follows_where_it_is_to() {
    let scene = Scene::new("followed");
    let child = scene.inside.child("child");
    let mut attachment = scene.injector.attach(&child, &["--follow"]);
    let name = attachment.name().to_owned();
    drop(child);
    for _ in 0..2 {
        drop(child_recreated(&scene, &mut attachment));
    }
    let child = child_recreated(&scene, &mut attachment);
    let output = attachment.stop(Signal::TERM).ok();
    assert!(output.stderr.contains("attaching again when it is recreated"), "{output:?}");
    assert_eq!((pins(&name), child.programs()), (None, vec![]));
}

/// Recreates the child, and waits until it is attached to.
fn child_recreated(scene: &Scene, attachment: &mut Attachment) -> Cgroup {
    let child = scene.inside.child("child");
    let line = attachment.line(SOON).expect("it attaches again");
    assert!(line.starts_with("attached "), "{line}");
    assert_eq!(child.program_ids("sock_ops").len(), 1);
    child
}

#[test]
fn its_leftovers_are_not_an_attachment() {
    let scene = Scene::new("removed-dead");
    let child = scene.inside.child("child");
    let attachment = scene.injector.attach_detached(&child, &[]);
    let name = attachment.name();
    drop(child);
    let child = scene.inside.child("child");
    eventually("the kernel takes the program off", SOON, || {
        (attachment.status().state == "cgroup_removed").then_some(())
    });
    for arguments in [
        &["flows", "--name", name, "--at-risk", "--fail"][..],
        &["flows", "--name", name],
        &["flows", "--cgroup", child.path_text()],
        &["flows", "--fail"],
        &["adopt", "--name", name],
        &["adopt", "--cgroup", child.path_text()],
    ] {
        let output = scene.injector.run(arguments);
        assert_eq!(output.code, FAILURE, "{arguments:?}: {output:?}");
        let expected = "nothing is attached: the cgroup was removed and recreated";
        assert!(output.stderr.contains(expected) && output.stderr.contains("injector attach"), "{output:?}");
    }
    assert!(scene.injector.run(&["flows"]).ok().stderr.contains("recreated"), "a note, among others");
}

#[test]
fn status_does_not_claim_to_be_attached() {
    let scene = Scene::new("removed-status");
    let child = scene.inside.child("child");
    let attachment = scene.injector.attach_detached(&child, &[]);
    assert_eq!(attachment.status().state, "attached");
    drop(child);
    eventually("the kernel takes the program off", SOON, || {
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
    eventually("the kernel takes the program off", SOON, || (before.status().state == "cgroup_removed").then_some(()));
    let _after = scene.injector.attach(&child, &["--timeout", "350s"]);
    assert_eq!(keepalive(&child), crate::scene::USUAL);
}
