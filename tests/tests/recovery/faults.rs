//! What else may happen to an attachment: to its hook, its file system, its cgroup, its output.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::time::Instant;

use injector_tests::{
    Churn, Keepalive, Listing, Load, Objects, Place, Process, Route, Signal, connected, eventually, pins, tool,
    until_it_waits,
};
use serde_json::Value;

use crate::attach::errors::FAILURE;
use crate::scene::{SOON, Scene, USUAL, assert_nothing_left};

/// A short limit has the watch look again soon, where nothing wakes it.
const SOON_AGAIN: &[&str] = &["--timeout", "4s"];
/// 10 s of it.
const LOAD: Load = Load { rate: 1_000, count: 10_000, step: 1_000 };

#[test]
fn the_link_is_detached_by_someone_else() {
    let scene = Scene::new("link");
    let mut attachment = scene.attach(SOON_AGAIN);
    let objects = Objects::pinned(attachment.name());
    let pin = attachment.directory().join("keepalive");
    tool("bpftool", &["link", "detach", "pinned", &pin.to_string_lossy()]);
    assert_eq!(scene.keepalive_inside().0, Keepalive::UNTOUCHED);
    let output = attachment.end().ok();
    assert!(output.stderr.contains("was detached by another process"), "{output:?}");
    assert_nothing_left(&scene);
    objects.wait_until_freed();
}

#[test]
fn bpffs_is_unmounted() {
    let scene = Scene::new("unmounted");
    let mut attachment = scene.attach(SOON_AGAIN);
    let before = scene.inside.program_ids("sock_ops");
    // Lazily: the watch keeps files there open.
    tool("umount", &["--lazy", "/sys/fs/bpf"]);
    attachment.says("pinned again");
    assert_eq!(scene.inside.program_ids("sock_ops"), before);
    assert_eq!(attachment.status().state, "attached");
    attachment.stop(Signal::TERM).ok();
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
    let output = attachment.end();
    assert_eq!(output.code, FAILURE, "{output:?}");
    assert!(started.elapsed() < SOON, "{output:?}");
    assert!(output.stderr.contains("its cgroup was removed"), "{output:?}");
    assert_eq!(pins(attachment.name()), None);
    objects.wait_until_freed();
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
    let _clean_up = scene.injector.clean_up_after(&scene.inside);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let head = "set -o pipefail; \"$@\" | head -1";
    let attach = ["attach", "--loopback", "--on-conflict", "respect", "--cgroup", scene.inside.path_text()];
    let arguments = [&["-c", head, "bash", scene.injector.binary()], &attach[..], SOON_AGAIN].concat();
    let mut watch = Process::spawn(Place::default(), "bash", &arguments);
    assert!(watch.expect_line(SOON).starts_with("attached "));
    let objects = Objects::pinned(&scene.inside.attachment_name());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    client.set(&near, "SO_KEEPALIVE", 0);
    assert!(watch.wait(SOON).success(), "{}", watch.stderr());
    assert!(watch.stderr().contains("stdout was closed"), "{}", watch.stderr());
    assert_nothing_left(&scene);
    objects.wait_until_freed();
}

/// A pipe that is full: it waits, and handles signals.
#[test]
fn a_watch_without_a_reader() {
    const CONNECTIONS: usize = 500;
    let scene = Scene::new("unread-watch");
    let _clean_up = scene.injector.clean_up_after(&scene.inside);
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo").to_string_lossy().into_owned();
    tool("mkfifo", &[&fifo]);
    let unread = File::options().read(true).write(true).open(&fifo).unwrap();
    let script = format!("exec \"$@\" > {fifo}");
    let attach = [
        "attach",
        "--loopback",
        "--cgroup",
        scene.inside.path_text(),
        "--timeout",
        "100s",
        "--warn",
        "1s",
        "-o",
        "jsonl",
    ];
    let arguments = [&["-c", &script, "sh", scene.injector.binary()], &attach[..]].concat();
    let mut watch = Process::spawn(Place::default(), "sh", &arguments);
    let waiting = || rustix::io::ioctl_fionread(&unread).unwrap();
    eventually("it says that it has attached", SOON, || (waiting() > 0).then_some(()));
    let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
    let listener = server.listen(Route::V4);
    client.connect_many("127.0.0.1", listener.local.port(), CONNECTIONS, SOON);
    server.accept_many(&listener, CONNECTIONS, SOON);
    eventually("the pipe is full", SOON, || (waiting() > 60_000).then_some(()));
    watch.signal(Signal::TERM);
    let status = watch.wait(SOON);
    assert_eq!(status.code(), Some(FAILURE), "{}", watch.stderr());
    assert!(watch.stderr().contains("not being read"), "{}", watch.stderr());
    assert_nothing_left(&scene);
}

/// A program that does not end while it lists does not prevent others from ending.
#[test]
fn who_waits_for_others_hears_signals() {
    let scene = Scene::new("waiting");
    let other = scene.injector.attach_detached(&scene.outside, &[]);
    let listing = Listing::begin();
    for how in [&[][..], &["--detach"]] {
        let attach = [&["attach", "--cgroup", scene.inside.path_text()], how].concat();
        let mut attach = scene.injector.spawn(&attach);
        until_it_waits(attach.pid());
        attach.signal(Signal::TERM);
        assert_eq!(attach.wait(SOON).signal(), Some(Signal::TERM.as_raw()), "{}", attach.stderr());
        assert_nothing_left(&scene);
    }
    drop(listing);
    // One that is attached waits to detach.
    let mut attachment = scene.attach(&[]);
    let listing = Listing::begin();
    attachment.signal(Signal::TERM);
    until_it_waits(attachment.pid());
    drop(listing);
    attachment.end().ok();
    assert_nothing_left(&scene);
    drop(other);
}

/// The work is done, with or without a reader.
#[test]
fn detaching_and_adopting_without_a_reader() {
    const CLOSED: &str = "exec 3> >(exec true); wait $!; exec \"$@\" >&3";
    const FULL: &str = "exec \"$@\" > /dev/full";
    for (script, code) in [(CLOSED, 0), (FULL, FAILURE)] {
        let scene = Scene::new("unread");
        let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
        let (near, _far) = connected(&mut client, &mut server, Route::V4);
        let run = |arguments: &[&str]| scene.injector.run_through(&["bash", "-c", script, "bash"], arguments);
        let _clean_up = scene.injector.clean_up_after(&scene.inside);
        let path = scene.inside.path_text();
        let output = run(&["attach", "--detach", "--existing", "--cgroup", path]);
        assert_eq!(output.code, code, "{output:?}");
        assert_eq!(client.keepalive(&near), USUAL, "adopted nevertheless");
        let name = scene.inside.attachment_name() + "-2";
        let _second = scene.injector.attach_detached(&scene.inside, &["--name", &name]);
        let output = run(&["detach", "--cgroup", path]);
        assert_eq!(output.code, code, "{output:?}");
        assert_nothing_left(&scene);
        assert_eq!(pins(&name), None);
    }
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
    let mut attachment = scene.attach(&[]);
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
    attachment.stop(Signal::TERM).ok();
    assert_nothing_left(&scene);
    objects.wait_until_freed();
}

/// Those that stay among many that go are reported once, and listed once.
#[test]
fn connections_come_and_go_beside_others() {
    const CONNECTIONS: usize = 1_500;
    let scene = Scene::new("churn-beside");
    // No probe goes out before the end, however busy the machine is.
    let mut attachment = scene.attach(&["--timeout", "1h", "--warn", "300ms", "-o", "jsonl"]);
    let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
    let listener = server.listen(Route::V4);
    client.connect_many("127.0.0.1", listener.local.port(), CONNECTIONS, SOON);
    server.accept_many(&listener, CONNECTIONS, SOON);
    let mut churn = Churn::start(Place::cgroup(&scene.inside).on(&scene.netns), LOAD);
    while churn.step() {
        let output = scene.injector.run(&["flows", "--name", attachment.name(), "-o", "jsonl"]).ok();
        let listed: Vec<_> = output.json_lines().iter().map(|flow| flow["cookie"].as_u64()).collect();
        let distinct: HashSet<_> = listed.iter().collect();
        assert_eq!(listed.len(), distinct.len(), "some are listed twice");
    }
    churn.report();
    let output = attachment.stop(Signal::TERM).ok();
    let reported = output.json_lines();
    let port = format!(":{}", listener.local.port());
    let stays = |event: &&Value| {
        ["local", "peer"].iter().any(|end| event["flow"][end].as_str().is_some_and(|end| end.ends_with(&port)))
    };
    let count = |name: &str| reported.iter().filter(stays).filter(|event| event["event"] == name).count();
    assert_eq!((count("at_risk"), count("closed")), (2 * CONNECTIONS, 0));
}

#[test]
fn connections_come_and_go_while_it_is_attached_and_detached() {
    let scene = Scene::new("churn");
    let path = scene.inside.path_text();
    let mut objects = Objects::default();
    let load = Load { count: u32::MAX, ..LOAD };
    let mut churn = Churn::start(Place::cgroup(&scene.inside).on(&scene.netns), load);
    for _ in 0..5 {
        for more in [&[][..], &["--timeout", "60s"], &["--on-conflict", "enforce"]] {
            let command = [&["attach", "--detach", "--cgroup", path], more].concat();
            scene.injector.run(&command).ok();
            let name = scene.inside.attachment_name();
            objects.extend(Objects::pinned(&name));
            scene.injector.flows(&name);
            assert_eq!(scene.injector.status(&name).state, "attached");
        }
        scene.injector.run(&["detach", "--cgroup", path]).ok();
        // As many again that are left alone.
        churn.step();
    }
    let report = churn.end();
    assert!(["7200", "240", "41"].iter().all(|idle| report.idle.contains_key(*idle)), "{report:?}");
    assert_nothing_left(&scene);
    objects.wait_until_freed();
}
