//! An `attach` of a name whose process is gone goes on with what that one left.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use injector_tests::{
    Attachment, Cgroup, Keepalive, Objects, PINS, Peer, Place, Process, Route, Signal, Socket, connected, eventually,
    move_to_other_version, pins, tool,
};

use crate::errors::{FAILURE, assert_fails};
use crate::scene::{SOON, Scene, USUAL, assert_nothing_left, flow_of};

/// What 60 s ask for.
const SHORT: Keepalive = Keepalive::on(40, 6, 9);

/// A connection that is there while its attachment changes hands.
struct Connection {
    client: Peer,
    _server: Peer,
    near: Socket,
}

impl Connection {
    fn open(scene: &Scene) -> Self {
        let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
        let (near, _far) = connected(&mut client, &mut server, Route::V4);
        Self { client, _server: server, near }
    }
}

/// The only program on the hook.
#[track_caller]
fn program(cgroup: &Cgroup) -> u64 {
    let ids = cgroup.program_ids("sock_ops");
    assert_eq!(ids.len(), 1, "{ids:?}");
    ids[0]
}

/// The directories of generations below the pins of an attachment.
fn generations(name: &str) -> Vec<PathBuf> {
    let directory = Path::new(PINS).join(name);
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.is_dir()).collect()
}

fn says(attachment: &Attachment, what: &str) {
    eventually(what, SOON, || attachment.stderr().contains(what).then_some(()));
}

/// What `status` tells of an application's own calls.
fn on_conflict(scene: &Scene) -> String {
    let status = scene.injector.run(&["status", "-o", "json"]).ok().json();
    let all = status["attachments"].as_array().expect("a list");
    let ours = all.iter().find(|one| one["name"] == scene.inside.attachment_name()).expect("ours");
    ours["on_conflict"].as_str().expect("a word").to_owned()
}

/// Waits until the clock shows another second than the one given in RFC 3339.
fn a_second_after(moment: &str) {
    eventually("the second is over", SOON, || {
        (tool("date", &["--utc", "+%FT%TZ"]).trim() != moment).then_some(())
    });
}

#[test]
fn the_same_parameters_go_on_as_they_are() {
    for (how, signal) in [(&[][..], Signal::KILL), (&["--keep"], Signal::TERM), (&["--on-conflict", "enforce"], Signal::KILL)] {
        let scene = Scene::new("same");
        let mut attachment = scene.attach(how);
        let connection = Connection::open(&scene);
        let before = (program(&scene.inside), attachment.status().since, Objects::pinned(attachment.name()));
        attachment.stop(signal);
        a_second_after(&before.1);
        attachment.take_over(&scene.inside, how);
        says(&attachment, "taken over as it was");
        let after = (program(&scene.inside), attachment.status().since, Objects::pinned(attachment.name()));
        assert_eq!(after, before, "{how:?}");
        assert_eq!(attachment.status().sockets.active.injected, 1);
        flow_of(&attachment, &connection.near);
        assert_eq!(scene.keepalive_inside().0, USUAL);
        attachment.stop(Signal::TERM).ok();
    }
}

#[test]
fn other_parameters_are_replaced_in_place() {
    let scene = Scene::new("other");
    let mut attachment = scene.injector.attach_detached(&scene.inside, &[]);
    let mut connection = Connection::open(&scene);
    let (id, since, before) = (program(&scene.inside), attachment.status().since, Objects::pinned(attachment.name()));
    a_second_after(&since);
    attachment.take_over(&scene.inside, &["--timeout", "60s"]);
    says(&attachment, "programs and parameters replaced");
    assert_ne!(program(&scene.inside), id);
    let status = attachment.status();
    assert_eq!((status.since, status.limit_ms), (since, 60_000));
    assert_eq!(status.sockets.active.injected, 1, "counters go on");
    assert_eq!(flow_of(&attachment, &connection.near).limit_ms, 60_000);
    assert_eq!(connection.client.keepalive(&connection.near), USUAL, "what was injected stays");
    assert_eq!(scene.keepalive_inside().0, SHORT);
    assert_eq!(generations(attachment.name()).len(), 1);
    let after = Objects::pinned(attachment.name());
    eventually("the programs before are gone", SOON, || before.alive().programs.is_empty().then_some(()));
    assert_eq!(&before.links & &after.links, before.alive().links, "the hook's link is the same");
    assert_eq!(before.alive().links.len(), 1);
    attachment.stop(Signal::TERM).ok();
    assert_nothing_left(&scene);
    eventually("nothing of either is left", SOON, || before.alive().is_empty().then_some(()));
    eventually("nothing of either is left", SOON, || after.alive().is_empty().then_some(()));
}

/// One program on the hook at any time.
#[test]
fn there_is_no_moment_without_a_program() {
    let scene = Scene::new("always");
    let _attachment = scene.injector.attach_detached(&scene.inside, &[]);
    thread::scope(|scope| {
        let replacing = scope.spawn(|| {
            for timeout in ["60s", "350s"].repeat(6) {
                scene.injector.run(&["attach", "--detach", "--cgroup", scene.inside.path_text(), "--timeout", timeout]).ok();
            }
        });
        while !replacing.is_finished() {
            program(&scene.inside);
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
        assert_eq!(on_conflict(&scene), mode);
        program(&scene.inside);
        let mut connection = Connection::open(&scene);
        connection.client.set(&connection.near, "TCP_KEEPIDLE", 10);
        assert_eq!(connection.client.keepalive(&connection.near).idle, idle, "{mode}");
    }
    attachment.stop(Signal::TERM).ok();
    assert_nothing_left(&scene);
}

/// As left by a process that was killed after it had put the guard on its hook, and before it replaced the rest.
#[test]
fn a_guard_that_does_not_belong_there_is_taken_off() {
    let scene = Scene::new("half-guard");
    let donor_name = scene.inside.attachment_name() + "-donor";
    let donor = scene.injector.attach_detached(&scene.inside, &["--name", &donor_name, "--on-conflict", "enforce"]);
    let mut attachment = scene.injector.attach_detached(&scene.inside, &[]);
    let guard = |name: &str| Path::new(PINS).join(name).join("guard");
    fs::rename(guard(donor.name()), guard(attachment.name())).unwrap();
    drop(donor);
    assert_eq!(scene.inside.program_ids("setsockopt").len(), 1);
    attachment.take_over(&scene.inside, &[]);
    assert_eq!(scene.inside.program_ids("setsockopt"), [] as [u64; 0]);
    assert_eq!(on_conflict(&scene), "respect");
}

/// As left by a process that was killed after it had replaced the guard, and before it replaced the rest.
#[test]
fn a_guard_of_other_parameters_is_replaced() {
    let scene = Scene::new("half-other");
    let donor_name = scene.inside.attachment_name() + "-donor";
    let donor = scene.injector.attach_detached(&scene.inside, &["--name", &donor_name, "--on-conflict", "enforce"]);
    let mut attachment = scene.injector.attach_detached(&scene.inside, &["--on-conflict", "tighten"]);
    let guard = |name: &str| Path::new(PINS).join(name).join("guard");
    fs::remove_file(guard(attachment.name())).unwrap();
    fs::rename(guard(donor.name()), guard(attachment.name())).unwrap();
    drop(donor);
    attachment.take_over(&scene.inside, &["--on-conflict", "tighten"]);
    let mut connection = Connection::open(&scene);
    connection.client.set(&connection.near, "TCP_KEEPIDLE", 10);
    assert_eq!(connection.client.keepalive(&connection.near).idle, 10, "a faster one stands");
}

/// As left by a process that was killed before its programs were at work.
#[test]
fn a_generation_that_never_worked_is_removed() {
    for timeout in ["350s", "60s"] {
        let scene = Scene::new("half-pinned");
        let donor_name = scene.inside.attachment_name() + "-donor";
        let donor = scene.injector.attach_detached(&scene.outside, &["--name", &donor_name]);
        let mut attachment = scene.injector.attach_detached(&scene.inside, &[]);
        let generation = generations(donor.name()).pop().expect("one");
        let left = Path::new(PINS).join(attachment.name()).join(generation.file_name().expect("a name"));
        fs::rename(generation, &left).unwrap();
        drop(donor);
        attachment.take_over(&scene.inside, &["--timeout", timeout]);
        assert!(!left.exists(), "--timeout {timeout}: {:?}", pins(attachment.name()));
        assert_eq!(attachment.status().state, "attached");
    }
}

#[test]
fn the_name_of_another_cgroup_is_refused() {
    let scene = Scene::new("elsewhere");
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    let before = program(&scene.inside);
    let other = ["attach", "--cgroup", scene.outside.path_text(), "--name", attachment.name()];
    assert_fails(&scene.injector.run(&other), FAILURE, &["already attached", &scene.inside.kernel_path()]);
    move_to_other_version(attachment.name());
    assert_fails(&scene.injector.run(&other), FAILURE, &["already attached"]);
    assert_eq!(program(&scene.inside), before);
    assert_eq!(scene.outside.programs(), []);
}

#[test]
fn another_pin_layout_is_taken_over_without_a_gap() {
    let scene = Scene::new("layout");
    let mut attachment = scene.attach(&["--on-conflict", "tighten"]);
    let before = Objects::pinned(attachment.name());
    attachment.stop(Signal::KILL);
    let moved = move_to_other_version(attachment.name());
    assert_eq!(scene.injector.state(attachment.name()).as_deref(), Some("other_version"));
    assert!(scene.injector.run(&["status"]).ok().stdout.contains("another version"));
    thread::scope(|scope| {
        let attaching = scope.spawn(|| attachment.take_over(&scene.inside, &[]));
        while !attaching.is_finished() {
            assert_ne!(scene.inside.program_ids("sock_ops"), [] as [u64; 0]);
        }
    });
    says(&attachment, "attached by another version (v0)");
    assert!(!moved.exists());
    program(&scene.inside);
    assert_eq!(scene.inside.program_ids("setsockopt"), [] as [u64; 0]);
    assert_eq!(attachment.status().state, "attached");
    assert_eq!(scene.keepalive_inside().0, USUAL);
    eventually("nothing of the other is left", SOON, || before.alive().is_empty().then_some(()));
}

#[test]
fn another_pin_layout_is_detached_by_name() {
    let scene = Scene::new("layout-off");
    let attachment = scene.injector.attach_detached(&scene.inside, &["--on-conflict", "enforce"]);
    let before = Objects::pinned(attachment.name());
    let moved = move_to_other_version(attachment.name());
    scene.injector.run(&["detach", "--name", attachment.name()]).ok();
    assert!(!moved.exists());
    assert_eq!(scene.injector.state(attachment.name()), None);
    assert_nothing_left(&scene);
    eventually("nothing of it is left", SOON, || before.alive().is_empty().then_some(()));
}

/// The lock on its directory is what all versions have in common.
#[test]
fn a_living_watcher_of_another_pin_layout_is_left_alone() {
    let scene = Scene::new("layout-lives");
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    let before = program(&scene.inside);
    let moved = move_to_other_version(attachment.name());
    let watch = [&moved.to_string_lossy(), "sh", "-c", "echo locked; cat"];
    let mut watcher = Process::spawn(Place::default(), "flock", &watch);
    assert_eq!(watcher.expect_line(Duration::from_secs(10)), "locked");
    let attach = ["attach", "--cgroup", scene.inside.path_text()];
    assert_fails(&scene.injector.run(&attach), FAILURE, &["already attached", attachment.name()]);
    assert_eq!((program(&scene.inside), moved.exists()), (before, true));
    drop(watcher);
}

/// Nobody listens to the name of an attachment alone: one that is not there is attached anew.
#[test]
fn what_is_off_its_hook_is_attached_anew() {
    let scene = Scene::new("off");
    let mut attachment = scene.injector.attach_detached(&scene.inside, &[]);
    let keepalive = format!("{PINS}/{}/keepalive", attachment.name());
    tool("bpftool", &["link", "detach", "pinned", &keepalive]);
    assert_eq!(scene.inside.programs(), []);
    assert_eq!(scene.injector.state(attachment.name()).as_deref(), Some("incomplete"));
    attachment.take_over(&scene.inside, &[]);
    assert_eq!(attachment.status().state, "attached");
    program(&scene.inside);
    assert_eq!(scene.keepalive_inside().0, USUAL);
}
