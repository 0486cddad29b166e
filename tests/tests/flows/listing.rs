//! How `flows` lists: order, limit, forms, repetition.

use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::Duration;

use injector_tests::{Peer, Place, Process, Route, Signal, Socket, connected};
use serde_json::Value;

use crate::flows::fields::process_of;
use crate::scene::{SOON, Scene};

/// Three flows, opened and last used in different orders.
fn three_flows(scene: &Scene) -> (Peer, Peer, [Socket; 3]) {
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let sockets = [(); 3].map(|()| {
        let (near, _far) = connected(&mut client, &mut server, Route::V4);
        thread::sleep(Duration::from_millis(200));
        near
    });
    client.send(&sockets[0], "used again").expect("the connection is open");
    (client, server, sockets)
}

#[test]
fn flows_are_sorted_and_limited() {
    let scene = Scene::new("sorted");
    let attachment = scene.attach(&[]);
    let (_client, _server, [first, second, third]) = three_flows(&scene);
    let listed = |arguments: &[&str]| -> Vec<u64> {
        let command = [&["flows", "--name", attachment.name(), "-o", "jsonl"], arguments].concat();
        let output = scene.injector.run(&command).ok();
        output.json_lines().iter().map(|flow| flow["cookie"].as_u64().unwrap()).collect()
    };
    let neediest_first = [second.cookie, third.cookie, first.cookie];
    assert_eq!(listed(&["--sort", "remaining"]), neediest_first);
    assert_eq!(listed(&["--sort", "idle"]), neediest_first);
    assert_eq!(listed(&["--sort", "opened"]), [first.cookie, second.cookie, third.cookie]);
    assert_eq!(listed(&["--sort", "remaining", "--limit", "2"]), neediest_first[..2]);
    assert_eq!(listed(&["--limit", "1"]).len(), 1);
    assert_eq!(listed(&[]).len(), 3);
}

#[test]
fn tables_name_what_they_show() {
    let scene = Scene::new("tables");
    let attachment = scene.attach(&[]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, far) = connected(&mut client, &mut server, Route::Mapped);
    for format in ["table", "wide"] {
        let by_path = ["flows", "--cgroup", scene.inside.path_text(), "-o", format];
        let output = scene.injector.run(&by_path).ok();
        let lines: Vec<&str> = output.stdout.lines().collect();
        assert!(lines.len() >= 2 && lines[0].contains("STATUS"), "{output:?}");
        let ports = [near.local.port(), far.local.port()].map(|port| format!("127.0.0.1:{port}"));
        assert!(lines[1].contains("protected"), "{output:?}");
        assert!(ports.iter().all(|address| lines[1].contains(address)), "{output:?}");
        assert!(lines[1].contains(&process_of(&client).name), "{output:?}");
    }
    let narrow = scene.injector.run(&["flows", "--name", attachment.name()]).ok();
    assert!(narrow.stdout.lines().all(|line| line.chars().count() <= 200), "{narrow:?}");
}

#[test]
fn all_attachments_are_listed_unless_one_is_named() {
    let scene = Scene::new("every");
    let (one, other) = (scene.attach(&[]), scene.injector.attach(&scene.outside, &[]));
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, far) = connected(&mut client, &mut server, Route::V4);
    let flows = scene.injector.run(&["flows", "-o", "jsonl"]).ok().json_lines();
    assert_eq!(flows.len(), 2);
    for (attachment, socket) in [(&one, &near), (&other, &far)] {
        let ours = |flow: &&Value| flow["attachment"] == attachment.name();
        let cookies: Vec<&Value> = flows.iter().filter(ours).map(|flow| &flow["cookie"]).collect();
        assert_eq!(cookies, [socket.cookie]);
    }
}

/// More output than a pipe holds, to a reader that goes after one line.
#[test]
fn a_closed_pipe_is_no_error() {
    let scene = Scene::new("pipe");
    let attachment = scene.attach(&[]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let listener = server.listen(Route::V4);
    client.connect_many("127.0.0.1", listener.local.port(), 300, SOON);
    for format in ["table", "wide", "json", "jsonl"] {
        let script = "\"$@\" | head -n 1 >&2; echo ${PIPESTATUS[0]}";
        let wrapper = ["bash", "-c", script, "bash"];
        let flows = ["flows", "--name", attachment.name(), "-o", format];
        let output = scene.injector.run_through(&wrapper, &flows);
        assert_eq!(output.stdout.trim(), "0", "{format}: {output:?}");
        assert_eq!(output.stderr.lines().count(), 1, "only what `head` let through: {output:?}");
    }
}

#[test]
fn watching_repeats_until_it_is_ended() {
    let scene = Scene::new("watch");
    let attachment = scene.attach(&[]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    let arguments = ["flows", "--name", attachment.name(), "--watch=1s", "-o", "jsonl"];
    let mut watching = Process::spawn(Place::default(), scene.injector.binary(), &arguments);
    let mut last_idle = None;
    for _ in 0..3 {
        let flow: Value = serde_json::from_str(&watching.expect_line(SOON)).unwrap();
        assert_eq!(flow["cookie"], near.cookie);
        let idle = flow["idle_ms"].as_u64();
        assert!(idle > last_idle, "{flow:#}");
        last_idle = idle;
    }
    // Not SIGINT: shells have background jobs ignore it, and these tests may run in one.
    watching.signal(Signal::TERM);
    let status = watching.wait(SOON);
    assert_eq!(status.signal(), Some(Signal::TERM.as_raw()), "{status}, {}", watching.stderr());
}
