//! An application that sets keepalive itself after it has connected, under each conflict mode.

use std::time::Duration;

use injector_tests::{Keepalive, Place, Process, Route, Status, connected};

use crate::scene::{SOON, Scene, USUAL};

/// What a connected socket reads back after each of these calls, made on a socket of its own.
fn read_back(mode: &str) -> [Keepalive; 4] {
    let calls = [("SO_KEEPALIVE", 0), ("TCP_KEEPIDLE", 7200), ("TCP_KEEPIDLE", 10), ("TCP_KEEPCNT", 3)];
    let scene = Scene::new("guard");
    let _attachment = scene.attach(&["--on-conflict", mode]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    calls.map(|(option, value)| {
        let (socket, _far) = connected(&mut client, &mut server, Route::V4);
        assert_eq!(client.keepalive(&socket), USUAL);
        client.set(&socket, option, value);
        client.keepalive(&socket)
    })
}

#[test]
fn respect_lets_every_call_stand() {
    let off = Keepalive { enabled: 0, ..USUAL };
    let expected = [off, Keepalive::on(7200, 30, 9), Keepalive::on(10, 30, 9), Keepalive::on(240, 30, 3)];
    assert_eq!(read_back("respect"), expected);
}

#[test]
fn tighten_takes_the_stricter_one() {
    assert_eq!(read_back("tighten"), [USUAL, USUAL, Keepalive::on(10, 30, 9), Keepalive::on(240, 30, 3)]);
}

#[test]
fn enforce_takes_the_policys() {
    assert_eq!(read_back("enforce"), [USUAL; 4]);
}

/// 0 is a value as well: it takes the timeout away.
#[test]
fn a_user_timeout_is_enforced_where_there_is_one() {
    let calls = [5000, 0, 20_000];
    let table = [("enforce", "90s", [90_000; 3]), ("tighten", "90s", calls), ("enforce", "", calls)];
    for (mode, ours, expected) in table {
        let scene = Scene::new("guard-timeout");
        let asked =
            if ours.is_empty() { vec![] } else { vec!["--idle", "20s", "--interval", "5s", "--user-timeout", ours] };
        let _attachment = scene.attach(&[&["--on-conflict", mode], &asked[..]].concat());
        let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
        let (socket, _far) = connected(&mut client, &mut server, Route::V4);
        let read_back = calls.map(|value| {
            client.set(&socket, "TCP_USER_TIMEOUT", value);
            client.user_timeout(&socket)
        });
        assert_eq!(read_back, expected.map(|value| Duration::from_millis(value.into())), "{mode} {ours}");
    }
}

/// Multipath TCP: what is set on the application's socket goes on to the connections beneath.
const MULTIPATH: &str = r#"
import socket
def multipath():
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
listener, near = multipath(), multipath()
listener.bind(("127.0.0.1", 0))
listener.listen()
near.connect(listener.getsockname())
far, _ = listener.accept()
near.send(b"x")
far.recv(1)
near.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)
try:
    near.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 7200)
except OSError:
    pass  # refused by kernels that don't know it there
print("%s:%d" % near.getsockname())
input()
"#;

#[test]
fn multipath_tcp_is_no_way_around_it() {
    for (mode, enabled, status) in [("tighten", true, Status::Protected), ("respect", false, Status::Exposed)] {
        let scene = Scene::new("multipath");
        let attachment = scene.attach(&["--on-conflict", mode]);
        let place = Place::cgroup(&scene.inside).on(&scene.netns);
        let mut process = Process::spawn(place, "/usr/bin/python3", &["-c", MULTIPATH]);
        let local = process.expect_line(SOON);
        let flows = attachment.flows();
        let flow = flows.iter().find(|flow| flow.local.to_string() == local).expect("it has a record");
        assert_eq!((flow.keepalive.enabled, flow.status), (enabled, status), "{mode}: {flow:#?}");
    }
}

#[test]
fn enforce_rules_over_what_was_chosen_before_connecting() {
    let scene = Scene::new("before");
    let _attachment = scene.attach(&["--on-conflict", "enforce"]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let listener = server.listen(Route::V4);
    let socket = client.open("127.0.0.1");
    client.set_keepalive(&socket, 60);
    client.connect_socket(&socket, "127.0.0.1", listener.local.port());
    assert_eq!(client.keepalive(&socket), USUAL);
}

/// Calls that are none of ours, or that the kernel refuses, and what comes of them; among them values beyond a page.
const OTHER_CALLS: &str = r#"
import socket
tcp, udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
big = (65536).to_bytes(4, "little") + bytes(65532)
calls = [
    (tcp, socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (tcp, socket.SOL_SOCKET, socket.SO_RCVBUF, 65536),
    (tcp, socket.SOL_SOCKET, socket.SO_SNDBUF, big),
    (tcp, socket.SOL_SOCKET, socket.SO_LINGER, bytes(65536)),
    (tcp, socket.SOL_IP, socket.IP_TOS, 16),
    (tcp, socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno"),
    (tcp, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 0),
    (tcp, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 40000),
    (tcp, socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 128),
    (tcp, socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, b"x"),
    (tcp, 12345, 1, 1),
    (udp, socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (udp, socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0),
]
for sock, level, name, value in calls:
    try:
        sock.setsockopt(level, name, value)
        print(name, "ok", sock.getsockopt(level, name))
    except OSError as error:
        print(name, error.errno)
"#;

/// SECURITY.md#programs
#[test]
fn every_other_call_is_as_without_us() {
    let scene = Scene::new("untouched");
    let _attachment = scene.attach(&["--on-conflict", "enforce"]);
    let run = |place: Place<'_>| {
        let mut process = Process::spawn(place, "/usr/bin/python3", &["-c", OTHER_CALLS]);
        assert!(process.wait(SOON).success(), "{}", process.stderr());
        process.rest()
    };
    let inside = run(Place::cgroup(&scene.inside));
    assert_eq!(inside, run(Place::default()));
    assert_eq!(inside.len(), 13, "{inside:#?}");
}

#[test]
fn a_long_value_is_no_way_around_it() {
    let scene = Scene::new("long");
    let _attachment = scene.attach(&["--on-conflict", "tighten"]);
    let call = "import socket; l = socket.create_server(('127.0.0.1', 0)); s = socket.create_connection(l.getsockname()); \
                s.setsockopt(1, 9, bytes(65536)); print(s.getsockopt(1, 9))";
    let mut process = Process::spawn(Place::cgroup(&scene.inside), "/usr/bin/python3", &["-c", call]);
    assert_eq!(process.expect_line(SOON), "1");
}

#[test]
fn it_is_attached_only_where_it_has_something_to_do() {
    let scene = Scene::new("hooks");
    let hooks = || injector_tests::tool("bpftool", &["cgroup", "show", scene.inside.path_text()]);
    let asked = |mode| vec!["--on-conflict", mode];
    for (mode, is_there) in
        [(vec![], true), (asked("respect"), false), (asked("tighten"), true), (asked("enforce"), true)]
    {
        let attachment = scene.attach(&mode);
        assert_eq!(hooks().contains("setsockopt"), is_there, "{mode:?}: {}", hooks());
        drop(attachment);
        assert!(!hooks().contains("setsockopt"), "{mode:?}: {}", hooks());
    }
}

#[test]
fn status_counts_overruled_calls() {
    let scene = Scene::new("overruled");
    let attachment = scene.attach(&["--on-conflict", "tighten"]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (socket, _far) = connected(&mut client, &mut server, Route::V6);
    client.set(&socket, "TCP_KEEPIDLE", 7200);
    let status = scene.injector.run(&["status", "-o", "json"]).ok().json();
    let all = status["attachments"].as_array().expect("a list");
    let ours = all.iter().find(|one| one["name"] == attachment.name()).expect("ours");
    assert_eq!(ours["on_conflict"], "tighten");
    assert_eq!(ours["sockets"]["overruled"]["TCP_KEEPIDLE"], 1, "{ours:#}");
}
