//! What others do to an attachment while it is at work: its pins, its hook, its file system, its cgroup, its output.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use injector_tests::{
    Attachment, Churn, Keepalive, Load, Objects, PINS, Place, Process, Route, Signal, connected, eventually, pins, tool,
};

use crate::scene::{SOON, Scene, USUAL, assert_nothing_left, flow_of};

/// A short limit has the watch look again soon, where nothing wakes it.
const SOON_AGAIN: &[&str] = &["--timeout", "4s"];
/// 10 s of it.
const LOAD: Load = Load { rate: 1_000, count: 10_000, step: 1_000 };

fn directory(attachment: &Attachment) -> PathBuf {
    Path::new(PINS).join(attachment.name())
}

/// The pins of the generation at work.
fn generation(attachment: &Attachment) -> PathBuf {
    let entries = fs::read_dir(directory(attachment)).expect("it is pinned");
    entries.map(|entry| entry.expect("readable").path()).find(|path| path.is_dir()).expect("a generation")
}

fn says(attachment: &Attachment, what: &str) {
    eventually(what, SOON, || attachment.stderr().contains(what).then_some(()));
}

/// Ends the watch and looks for what is left.
fn assert_ends(scene: &Scene, mut attachment: Attachment, objects: &Objects) {
    attachment.stop(Signal::TERM).ok();
    assert_nothing_left(scene);
    assert_gone(objects);
}

fn assert_gone(objects: &Objects) {
    assert!(!objects.is_empty());
    eventually("the kernel has freed all of it", SOON, || objects.alive().is_empty().then_some(()));
}

/// Removes some of the pins of a watch; it goes on as before, and others find it again.
fn assert_survives(remove: impl Fn(&Attachment)) {
    let scene = Scene::new("pins");
    let attachment = scene.attach(&["--on-conflict", "tighten"]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    let before = (scene.inside.programs(), scene.inside.program_ids("sock_ops"), Objects::pinned(attachment.name()));
    remove(&attachment);
    assert_eq!(scene.keepalive_inside().0, USUAL);
    says(&attachment, "pinned again");
    let after = (scene.inside.programs(), scene.inside.program_ids("sock_ops"), Objects::pinned(attachment.name()));
    assert_eq!(after, before, "the same, of all that there was");
    assert_eq!(attachment.status().state, "attached");
    flow_of(&attachment, &near);
    let again = scene.injector.run(&["attach", "--cgroup", scene.inside.path_text()]);
    assert!(again.stderr.contains("already attached"), "it is watched: {again:?}");
    assert_ends(&scene, attachment, &after.2);
}

#[test]
fn all_pins_are_removed() {
    // The watch may have made new ones before all of the old ones are gone.
    assert_survives(|attachment| drop(fs::remove_dir_all(directory(attachment))));
}

#[test]
fn all_pins_are_moved() {
    let elsewhere = Path::new(PINS).with_file_name(injector_tests::unique_name("elsewhere"));
    assert_survives(|attachment| {
        fs::rename(directory(attachment), &elsewhere).unwrap();
        fs::remove_dir_all(&elsewhere).unwrap();
    });
}

#[test]
fn the_pin_of_the_link_is_removed() {
    assert_survives(|attachment| fs::remove_file(directory(attachment).join("keepalive")).unwrap());
}

#[test]
fn the_pins_of_the_generation_are_removed() {
    assert_survives(|attachment| fs::remove_dir_all(generation(attachment)).unwrap());
}

#[test]
fn the_pin_of_a_map_is_removed() {
    assert_survives(|attachment| fs::remove_file(directory(attachment).join("FLOWS")).unwrap());
}

#[test]
fn the_pin_of_the_guard_is_removed() {
    assert_survives(|attachment| fs::remove_file(directory(attachment).join("guard")).unwrap());
}

/// Whoever removes pins meets the watch that makes them anew.
#[test]
fn pins_are_removed_again_and_again() {
    let scene = Scene::new("again-and-again");
    let attachment = scene.attach(&[]);
    let objects = Objects::pinned(attachment.name());
    for _ in 0..50 {
        let _ = fs::remove_dir_all(directory(&attachment));
        assert_eq!(scene.inside.program_ids("sock_ops").len(), 1);
    }
    eventually("it is pinned again", SOON, || (scene.injector.states(attachment.name()) == ["attached"]).then_some(()));
    assert_eq!(Objects::pinned(attachment.name()), objects);
    assert_ends(&scene, attachment, &objects);
}

/// Others' attachments are none of its matter.
#[test]
fn damaged_pins_keep_nobody_from_the_others() {
    let scene = Scene::new("damaged");
    let damaged = scene.injector.attach_detached(&scene.outside, &[]);
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    fs::remove_dir_all(generation(&damaged)).unwrap();
    scene.injector.run(&["flows"]).ok();
    scene.injector.run(&["flows", "--cgroup", scene.inside.path_text()]).ok();
    assert_eq!(attachment.status().state, "attached");
    scene.injector.run(&["detach", "--cgroup", scene.inside.path_text()]).ok();
    assert_nothing_left(&scene);
}

#[test]
fn the_link_is_detached_by_someone_else() {
    let scene = Scene::new("link");
    let mut attachment = scene.attach(SOON_AGAIN);
    let objects = Objects::pinned(attachment.name());
    let pin = directory(&attachment).join("keepalive");
    tool("bpftool", &["link", "detach", "pinned", &pin.to_string_lossy()]);
    assert_eq!(scene.keepalive_inside().0, Keepalive::UNTOUCHED);
    let output = attachment.end().ok();
    assert!(output.stderr.contains("was detached by someone else"), "{output:?}");
    assert_nothing_left(&scene);
    assert_gone(&objects);
}

/// The mount is the watch's own, in a namespace of its own: nobody else loses theirs.
#[test]
fn bpffs_is_unmounted() {
    let scene = Scene::new("unmounted");
    let own_mount = "umount --all-targets /sys/fs/bpf && mount -t bpf bpf /sys/fs/bpf && exec \"$@\"";
    let arguments = ["--mount", "sh", "-c", own_mount, "sh", scene.injector.binary()];
    let attach = ["attach", "--cgroup", scene.inside.path_text()];
    let mut watch = Process::spawn(Place::default(), "unshare", &[&arguments, &attach[..], SOON_AGAIN].concat());
    assert!(watch.expect_line(SOON).starts_with("attached "));
    let before = scene.inside.program_ids("sock_ops");
    let namespace = format!("--mount=/proc/{}/ns/mnt", watch.pid());
    // Lazily: the watch keeps files there open.
    tool("nsenter", &[&namespace, "umount", "--lazy", "/sys/fs/bpf"]);
    eventually("it is pinned again", SOON, || watch.stderr().contains("pinned again").then_some(()));
    assert_eq!(scene.inside.program_ids("sock_ops"), before);
    let status = tool("nsenter", &[&namespace, scene.injector.binary(), "status"]);
    assert!(status.contains("attached to cgroup"), "{status}");
    watch.signal(Signal::TERM);
    assert!(watch.wait(SOON).success(), "{}", watch.stderr());
    assert_nothing_left(&scene);
}

#[test]
fn a_removed_cgroup_ends_the_watch_at_once() {
    let scene = Scene::new("removed");
    let child = scene.inside.child("child");
    let mut attachment = scene.injector.attach(&child, &["--timeout", "350s"]);
    let objects = Objects::pinned(attachment.name());
    let started = Instant::now();
    drop(child);
    let output = attachment.end().ok();
    assert!(started.elapsed() < SOON, "{output:?}");
    assert!(output.stderr.contains("its cgroup was removed"), "{output:?}");
    assert_eq!(pins(attachment.name()), None);
    assert_gone(&objects);
}

/// Lists more than a pipe holds.
#[test]
fn the_reader_of_a_list_has_seen_enough() {
    const CONNECTIONS: usize = 1_000;
    let scene = Scene::new("head");
    let attachment = scene.attach(&[]);
    let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
    let listener = server.listen_on("127.0.0.1", false);
    client.connect_many("127.0.0.1", listener.local.port(), CONNECTIONS, SOON);
    server.accept_many(&listener, CONNECTIONS, SOON);
    for format in ["table", "wide", "json", "jsonl"] {
        let head = ["bash", "-c", "set -o pipefail; \"$@\" | head -1", "bash"];
        let output = scene.injector.run_through(&head, &["flows", "--name", attachment.name(), "-o", format]).ok();
        assert_eq!((output.stdout.lines().count(), output.stderr.as_str()), (1, ""), "{format}");
    }
    assert_eq!(attachment.flows().len(), 2 * CONNECTIONS);
}

/// It notices when it has something to say.
#[test]
fn the_reader_of_a_watch_has_seen_enough() {
    let scene = Scene::new("head-watch");
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let head = "set -o pipefail; \"$@\" | head -1";
    let attach = ["attach", "--cgroup", scene.inside.path_text()];
    let arguments = [&["-c", head, "bash", scene.injector.binary()], &attach[..], SOON_AGAIN].concat();
    let mut watch = Process::spawn(Place::default(), "bash", &arguments);
    assert!(watch.expect_line(SOON).starts_with("attached "));
    let objects = Objects::pinned(&scene.inside.attachment_name());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    client.set(&near, "SO_KEEPALIVE", 0);
    assert!(watch.wait(SOON * 3).success(), "{}", watch.stderr());
    assert!(watch.stderr().contains("stdout was closed"), "{}", watch.stderr());
    assert_nothing_left(&scene);
    assert_gone(&objects);
}

#[test]
fn there_is_no_stdout() {
    let scene = Scene::new("closed");
    let closed = ["sh", "-c", "exec \"$@\" >&-", "sh"];
    for arguments in [&["attach", "--for", "300ms", "--cgroup", scene.inside.path_text()][..], &["status"], &["flows"]]
    {
        let output = scene.injector.run_through(&closed, arguments);
        assert_eq!((output.code, output.stderr.contains("panicked")), (0, false), "{output:?}");
        assert_nothing_left(&scene);
    }
}

/// Nothing is lost: each connection is counted, on both of its sides.
#[test]
fn connections_come_and_go_under_a_watch() {
    let scene = Scene::new("churn-watch");
    let attachment = scene.attach(&[]);
    let objects = Objects::pinned(attachment.name());
    let mut churn = Churn::start(Place::cgroup(&scene.inside).on(&scene.netns), LOAD);
    while churn.step() {
        attachment.flows();
        attachment.status();
    }
    let report = churn.report();
    assert_eq!((report.connections, report.unprotected), (LOAD.count, 0), "{report:?}");
    let status = attachment.status();
    let seen = (status.sockets.active.injected, status.sockets.passive.injected);
    assert_eq!(seen, (LOAD.count.into(), LOAD.count.into()));
    assert_ends(&scene, attachment, &objects);
}

#[test]
fn connections_come_and_go_while_it_is_attached_and_detached() {
    let scene = Scene::new("churn");
    let path = scene.inside.path_text();
    let mut objects = Objects::default();
    let mut churn = Churn::start(Place::cgroup(&scene.inside).on(&scene.netns), LOAD);
    let mut attached = 0;
    while churn.step() {
        for more in [&[][..], &["--timeout", "60s"], &["--on-conflict", "enforce"]] {
            let command = [&["attach", "--detach", "--cgroup", path], more].concat();
            scene.injector.run(&command).ok();
            let name = scene.inside.attachment_name();
            objects.extend(Objects::pinned(&name));
            scene.injector.flows(&name);
            assert_eq!(scene.injector.status(&name).state, "attached");
        }
        scene.injector.run(&["detach", "--cgroup", path]).ok();
        attached += 1;
    }
    let report = churn.report();
    assert_eq!(report.connections, LOAD.count);
    assert!(attached > 0 && report.idle.contains_key("41"), "{report:?}");
    assert_nothing_left(&scene);
    assert_gone(&objects);
}
