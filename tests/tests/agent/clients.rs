//! Clients that are many, slow or wrong.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use injector_tests::{
    Agent, PINS, Place, Process, Signal, ask, connect_from, eventually, exchange, request, tool, unique_address,
    until_it_waits,
};

use super::{SHORT, agent, exposed};
use crate::scene::{SOON, Scene};

/// Above what the agent takes at rest.
const ROOM: u64 = 48 * 1024 * 1024;

/// An address for a client, and for 24 others: the agent allows each no more than 32 connections.
fn one_of_many(client: usize) -> IpAddr {
    Ipv4Addr::from_bits(0x7f00_0101 + u32::try_from(client / 25).expect("a few")).into()
}

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
        for number in 0..1000 {
            let answered = &answered;
            thread::Builder::new()
                .stack_size(64 * 1024)
                .spawn_scoped(scope, move || {
                    let stream = connect_from(one_of_many(number), address);
                    let answer = exchange(stream, b"GET /metrics HTTP/1.1\r\n\r\n", SOON);
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
fn slow_clients_are_dropped_and_block_no_other() {
    let scene = Scene::new("agent-slow");
    let agent = agent(&scene, SHORT);
    let (before, _) = agent.usage();
    // Some say nothing, some begin, some ask and don't read.
    let texts: [&[u8]; 3] = [b"", b"GET /metr", b"GET /flows HTTP/1.1\r\n\r\n"];
    let clients: Vec<_> = texts
        .iter()
        .cycle()
        .take(300)
        .enumerate()
        .map(|(number, text)| {
            let mut stream = connect_from(one_of_many(number), agent.address());
            stream.write_all(text).expect("it listens");
            stream
        })
        .collect();
    reported_in_time(&scene, &agent);
    assert!(agent.usage().0 < before + ROOM, "{} bytes", agent.usage().0);
    // More of them than it serves at a time: the rest has its turn when these are dropped.
    assert_eq!(agent.get("/metrics").code, 200);
    drop(clients);
}

/// Any pod can reach the agent.
///
/// SECURITY.md#clients
#[test]
fn a_flood_does_not_block_other_clients() {
    let scene = Scene::new("agent-flood");
    let agent = agent(&scene, SHORT);
    let (address, until) = (agent.address(), Instant::now() + Duration::from_secs(6));
    let flooder = Ipv4Addr::new(127, 0, 0, 66).into();
    thread::scope(|scope| {
        for _ in 0..400 {
            let flood = move || {
                while Instant::now() < until {
                    let mut stream = connect_from(flooder, address);
                    // Until it is dropped. The kernel's queue may have no room for it, and not say so.
                    stream.set_read_timeout(Some(SOON)).expect("not zero");
                    let _ = stream.read(&mut [0]);
                    thread::sleep(Duration::from_millis(500));
                }
            };
            thread::Builder::new().stack_size(64 * 1024).spawn_scoped(scope, flood).expect("a thread");
        }
        let mut times: Vec<_> = (0..8)
            .map(|_| {
                thread::sleep(Duration::from_millis(500));
                let started = Instant::now();
                let answer = ask(address, b"GET /healthz HTTP/1.1\r\n\r\n", SOON);
                assert_eq!(answer.map(|answer| answer.code), Some(200));
                started.elapsed()
            })
            .collect();
        // The kubelet waits for 3 s. One answer may be late because the machine is busy, but not most of them.
        times.sort();
        assert!(times[4] < Duration::from_secs(2), "{times:?}");
    });
}

/// For example, another process attaches and does not end.
#[test]
fn a_loop_that_is_stuck_holds_up_no_scrape() {
    let scene = Scene::new("agent-stuck");
    let agent = agent(&scene, SHORT);
    agent.shows("attached_cgroups", 1.0);
    let known = agent.metric("last_scan_timestamp_seconds").expect("exported");

    let hold = ["--exclusive", "--no-fork", PINS, "sh", "-c", "echo held; exec sleep 600"];
    let mut holder = Process::spawn(Place::default(), "flock", &hold);
    assert_eq!(holder.expect_line(SOON), "held");
    // So that the next look needs the lock.
    agent.signal(Signal::HUP);
    until_it_waits(agent.pid());
    let (address, started) = (agent.address(), Instant::now());
    thread::scope(|scope| {
        let scrape = || request(address, "GET", "/metrics", "");
        let scrapes: Vec<_> = (0..4).map(|_| scope.spawn(scrape)).collect();
        for scrape in scrapes {
            let answer = scrape.join().expect("an answer");
            assert!(answer.code == 200 && answer.body.contains("last_scan_timestamp_seconds 1"), "{answer:?}");
        }
    });
    // Prometheus waits for 10 s.
    assert!(started.elapsed() < Duration::from_secs(10), "answered after {:?}", started.elapsed());
    drop(holder);
    eventually("it goes on", SOON, || agent.metric("last_scan_timestamp_seconds").filter(|time| *time > known));
}

/// The log has no reader.
#[test]
fn a_log_without_a_reader() {
    let scene = Scene::new("agent-log");
    let mut agent = agent(&scene, SHORT);
    agent.stop(Signal::TERM).ok();
    let (config, fifo) = (agent.file(), format!("{}.log", agent.file()));
    tool("mkfifo", &[&fifo]);
    let wrapper = ["sh", "-c", r#"exec 3<>"$0"; exec "$@" 2>"$0""#, &fifo];
    // Its address can't be read from the log, so it has to be known.
    let address = unique_address(9435);
    let mut unread =
        scene.injector.spawn_through(&wrapper, &["run", "--config", &config, "--listen", &address.to_string()]);
    let get = |path: &str| ask(address, format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes(), SOON);
    eventually("it is ready", SOON, || get("/readyz").filter(|answer| answer.code == 200));
    eventually("it drops lines", SOON, || {
        for _ in 0..200 {
            unread.signal(Signal::HUP);
            thread::sleep(Duration::from_millis(2));
        }
        let metrics = get("/metrics")?.body;
        let dropped = metrics.lines().find_map(|line| line.strip_prefix("injector_log_lines_dropped_total "));
        dropped.is_some_and(|count| count != "0").then_some(())
    });
    assert_eq!(get("/healthz").expect("an answer").code, 200);
    unread.signal(Signal::TERM);
    unread.wait(SOON);
    agent.begin();
}

/// A flow that gets close to its limit is reported then, and not when slow clients are dropped, after 20 s.
fn reported_in_time(scene: &Scene, agent: &Agent) {
    let started = Instant::now();
    let _flow = exposed(scene);
    agent.says("flow at risk: close to its idle timeout");
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(15), "reported after {took:?}");
}
