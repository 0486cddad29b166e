//! Clients that are many, slow or wrong.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use injector_tests::{Agent, Signal, ask, eventually, tool};

use super::{SHORT, agent, exposed};
use crate::scene::{SOON, Scene};

/// Above what the agent takes at rest.
const ROOM: u64 = 48 * 1024 * 1024;

#[test]
fn requests_that_are_none() {
    let scene = Scene::new("agent-wrong");
    let agent = agent(&scene, SHORT);
    let (before, _) = agent.usage();
    let long_path = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(4000));
    let long_query = format!("GET /flows?limit={} HTTP/1.1\r\n\r\n", "1".repeat(2000));
    let long_head = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let many_heads = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(500));
    let body = format!("POST /flows HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n{}", "x".repeat(1 << 20));
    let table: [(&str, &[u16]); 9] = [
        ("\r\n\r\n", &[400]),
        ("HELLO\r\n\r\n", &[400]),
        ("GET / HTTP/9.9\r\n\r\n", &[400]),
        ("\u{16}\u{3}\u{1}tls?\r\n\r\n", &[400]),
        (&long_path, &[414]),
        (&long_query, &[414]),
        (&long_head, &[431]),
        (&many_heads, &[431]),
        (&body, &[405]),
    ];
    for (text, codes) in table {
        let code = ask(agent.address(), text.as_bytes(), SOON).map(|answer| answer.code);
        let what = &text[..text.len().min(40)];
        // A refusal may be lost where the client is still sending when it is closed.
        assert!(code.is_none_or(|code| codes.contains(&code)), "{what:?}: {code:?}");
    }
    assert!(agent.usage().0 < before + ROOM);
    assert_eq!(agent.get("/healthz").code, 200);
}

#[test]
fn a_thousand_scrapes_at_once() {
    let scene = Scene::new("agent-scrapes");
    let agent = agent(&scene, SHORT);
    let (before, descriptors) = agent.usage();
    let scans = || agent.metric("scan_duration_seconds_count").expect("exported");
    let (address, scans_before, started) = (agent.address(), scans(), Instant::now());
    let answered = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..1000 {
            thread::Builder::new()
                .stack_size(64 * 1024)
                .spawn_scoped(scope, || {
                    let answer = ask(address, b"GET /metrics HTTP/1.1\r\n\r\n", Duration::from_secs(30));
                    answered.fetch_add(usize::from(answer.is_some_and(|answer| answer.code == 200)), Ordering::Relaxed);
                })
                .expect("a thread");
        }
    });
    let (took, scans_after) = (started.elapsed(), scans());
    assert_eq!(answered.into_inner(), 1000);
    // Once a second, and the loop's own.
    let most = 3.0 * took.as_secs_f64() + 4.0;
    assert!(scans_after - scans_before <= most, "{} scans in {took:?}", scans_after - scans_before);
    assert!(agent.usage().0 < before + ROOM, "{} bytes", agent.usage().0);
    eventually("descriptors are closed", SOON, || (agent.usage().1 <= descriptors + 1).then_some(()));
}

#[test]
fn slow_clients_are_let_go_and_hold_nobody_up() {
    let scene = Scene::new("agent-slow");
    let agent = agent(&scene, SHORT);
    let (before, _) = agent.usage();
    // Some say nothing, some begin, some ask and don't read.
    let texts: [&[u8]; 3] = [b"", b"GET /metr", b"GET /flows HTTP/1.1\r\n\r\n"];
    let clients: Vec<_> = texts
        .iter()
        .cycle()
        .take(300)
        .map(|text| {
            let mut stream = TcpStream::connect(agent.address()).expect("it listens");
            stream.write_all(text).expect("it listens");
            stream
        })
        .collect();
    told_in_time(&scene, &agent);
    assert!(agent.usage().0 < before + ROOM, "{} bytes", agent.usage().0);
    // More of them than it serves at a time: the rest has its turn when these are let go.
    assert_eq!(agent.get("/metrics").code, 200);
    drop(clients);
}

/// Nobody reads what it logs.
#[test]
fn a_log_that_nobody_reads() {
    let scene = Scene::new("agent-log");
    let mut agent = agent(&scene, SHORT);
    agent.stop(Signal::TERM).ok();
    let (config, fifo) = (agent.file(), format!("{}.log", agent.file()));
    tool("mkfifo", &[&fifo]);
    let wrapper = ["sh", "-c", r#"exec 3<>"$0"; exec "$@" 2>"$0""#, &fifo];
    let mut unread =
        scene.injector.spawn_through(&wrapper, &["run", "--config", &config, "--listen", "127.0.0.1:19436"]);
    let address = "127.0.0.1:19436".parse().expect("an address");
    let get = |path: &str| ask(address, format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes(), SOON);
    eventually("it is ready", SOON, || get("/readyz").filter(|answer| answer.code == 200));
    eventually("it drops lines", Duration::from_secs(60), || {
        for _ in 0..200 {
            unread.signal(Signal::HUP);
            thread::sleep(Duration::from_millis(2));
        }
        let metrics = get("/metrics")?.body;
        let dropped = metrics.lines().find_map(|line| line.strip_prefix("keepalive_injector_log_lines_dropped_total "));
        dropped.is_some_and(|count| count != "0").then_some(())
    });
    assert_eq!(get("/healthz").expect("an answer").code, 200);
    unread.signal(Signal::TERM);
    unread.wait(Duration::from_secs(6));
    agent.begin();
}

/// A flow that comes near its limit is told about when it does.
fn told_in_time(scene: &Scene, agent: &Agent) {
    let started = Instant::now();
    let _flow = exposed(scene);
    agent.says("a flow comes near its limit");
    let took = started.elapsed();
    assert!(took > Duration::from_secs(3) && took < Duration::from_secs(6), "told after {took:?}");
}
