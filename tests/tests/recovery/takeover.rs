//! An `attach` of a name whose process is gone goes on with what that one left.

use std::thread;

use injector_tests::{Keepalive, Objects, PINS, Route, Signal, connected, eventually, tool};

use crate::scene::{SOON, Scene, USUAL, assert_nothing_left, flow_of};

/// What 60 s ask for.
const SHORT: Keepalive = Keepalive::on(41, 5, 9);

/// Waits until the clock shows another second than the one given in RFC 3339.
fn a_second_after(moment: &str) {
    eventually("the second is over", SOON, || (tool("date", &["--utc", "+%FT%TZ"]).trim() != moment).then_some(()));
}

#[test]
fn the_same_parameters_go_on_as_they_are() {
    for (how, signal) in
        [(&[][..], Signal::KILL), (&["--keep"], Signal::TERM), (&["--on-conflict", "enforce"], Signal::KILL)]
    {
        let scene = Scene::new("same");
        let mut attachment = scene.attach(how);
        let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
        let (near, _far) = connected(&mut client, &mut server, Route::V4);
        let before =
            (scene.inside.only_program("sock_ops"), attachment.status().since, Objects::pinned(attachment.name()));
        attachment.stop(signal);
        a_second_after(&before.1);
        attachment.take_over(&scene.inside, how);
        attachment.says("taken over as it was");
        let after =
            (scene.inside.only_program("sock_ops"), attachment.status().since, Objects::pinned(attachment.name()));
        assert_eq!(after, before, "{how:?}");
        assert_eq!(attachment.status().sockets.active.injected, 1);
        flow_of(&attachment, &near);
        assert_eq!(scene.keepalive_inside().0, USUAL);
        attachment.stop(Signal::TERM).ok();
    }
}

#[test]
fn other_parameters_are_replaced_in_place() {
    let scene = Scene::new("other");
    let mut attachment = scene.injector.attach_detached(&scene.inside, &[]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    let (id, since, before) =
        (scene.inside.only_program("sock_ops"), attachment.status().since, Objects::pinned(attachment.name()));
    a_second_after(&since);
    attachment.take_over(&scene.inside, &["--timeout", "60s"]);
    attachment.says("programs and parameters replaced");
    assert_ne!(scene.inside.only_program("sock_ops"), id);
    let status = attachment.status();
    assert_eq!((status.since, status.limit_ms), (since, 60_000));
    assert_eq!(status.sockets.active.injected, 1, "counters go on");
    assert_eq!(flow_of(&attachment, &near).limit_ms, 60_000);
    assert_eq!(client.keepalive(&near), USUAL, "what was injected stays");
    assert_eq!(scene.keepalive_inside().0, SHORT);
    assert_eq!(attachment.generations().len(), 1);
    let after = Objects::pinned(attachment.name());
    eventually("the programs before are gone", SOON, || before.alive().programs.is_empty().then_some(()));
    assert_eq!(&before.links & &after.links, before.alive().links, "the hook's link is the same");
    assert_eq!(before.alive().links.len(), 2, "with the guard's");
    attachment.stop(Signal::TERM).ok();
    assert_nothing_left(&scene);
    before.wait_until_freed();
    after.wait_until_freed();
}

/// One program on the hook at any time.
#[test]
fn there_is_no_moment_without_a_program() {
    let scene = Scene::new("always");
    let _attachment = scene.injector.attach_detached(&scene.inside, &[]);
    thread::scope(|scope| {
        let replacing = scope.spawn(|| {
            for timeout in ["60s", "350s"].repeat(6) {
                scene
                    .injector
                    .run(&["attach", "--detach", "--cgroup", scene.inside.path_text(), "--timeout", timeout])
                    .ok();
            }
        });
        while !replacing.is_finished() {
            scene.inside.only_program("sock_ops");
        }
    });
}

#[test]
fn the_guard_comes_and_goes() {
    let scene = Scene::new("guards");
    let mut attachment = scene.attach(&[]);
    for (mode, guards, idle) in [("enforce", 1, 240), ("tighten", 1, 10), ("respect", 0, 10), ("enforce", 1, 240)] {
        attachment.stop(Signal::KILL);
        attachment.take_over(&scene.inside, &["--on-conflict", mode]);
        assert_eq!(scene.inside.program_ids("setsockopt").len(), guards, "{mode}");
        assert_eq!(attachment.status().on_conflict, mode);
        scene.inside.only_program("sock_ops");
        let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
        let (near, _far) = connected(&mut client, &mut server, Route::V4);
        client.set(&near, "TCP_KEEPIDLE", 10);
        assert_eq!(client.keepalive(&near).idle, idle, "{mode}");
    }
    attachment.stop(Signal::TERM).ok();
    assert_nothing_left(&scene);
}

#[test]
fn detached_programs_are_attached_again() {
    let scene = Scene::new("off");
    let mut attachment = scene.injector.attach_detached(&scene.inside, &[]);
    let keepalive = format!("{PINS}/{}/keepalive", attachment.name());
    tool("bpftool", &["link", "detach", "pinned", &keepalive]);
    assert_eq!(scene.inside.program_ids("sock_ops"), [] as [u64; 0]);
    assert_eq!(scene.injector.states(attachment.name()), ["incomplete"]);
    attachment.take_over(&scene.inside, &[]);
    assert_eq!(attachment.status().state, "attached");
    scene.inside.only_program("sock_ops");
    assert_eq!(scene.keepalive_inside().0, USUAL);
}
