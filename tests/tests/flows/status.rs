//! What `status` says of attachments.

use std::thread;

use injector_tests::{AttachmentKeepalive, Outcomes, Route, Signal, connected, eventually};
use serde_json::json;

use crate::scene::{SOON, Scene};

#[test]
fn it_names_the_attachment_and_its_parameters() {
    let scene = Scene::new("named");
    let attachment = scene.attach(&["--user-timeout", "10m", "--warn", "50%"]);
    let status = attachment.status();
    assert_eq!(status.cgroup, scene.inside.kernel_path());
    assert_eq!(status.cgroup_id, scene.inside.id());
    assert_eq!(status.state, "attached");
    assert_eq!((status.limit_ms, status.warn_ms), (350_000, 175_000));
    let expected = AttachmentKeepalive { idle_s: 240, interval_s: 30, probes: 9, user_timeout_ms: 600_000 };
    assert_eq!(status.keepalive, expected);
    assert_recent(&status.since);
}

#[test]
fn a_low_soft_limit_of_descriptors_is_lifted() {
    let scene = Scene::new("few-descriptors");
    let attachment = scene.attach(&[]);
    let wrapper = ["prlimit", "--nofile=16:4096"];
    for command in [&["status"][..], &["flows", "--name", attachment.name()]] {
        scene.injector.run_through(&wrapper, command).ok();
    }
}

/// RFC 3339 in UTC, and within the last minute.
fn assert_recent(since: &str) {
    let seconds = injector_tests::tool("date", &["--date", since, "+%s"]);
    let now = injector_tests::tool("date", &["+%s"]);
    let [seconds, now] = [seconds, now].map(|text| text.trim().parse::<i64>().expect("date prints seconds"));
    assert!(since.ends_with('Z') && (now - 60..=now + 1).contains(&seconds), "{since}");
}

#[test]
fn a_warning_mark_may_be_a_duration() {
    let scene = Scene::new("mark");
    let attachment = scene.attach(&["--warn", "5m"]);
    assert_eq!(attachment.status().warn_ms, 300_000);
}

#[test]
fn its_counters_and_sums_add_up() {
    let scene = Scene::new("sums");
    let attachment = scene.attach(&["--on-conflict", "respect"]);
    let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
    let pairs: Vec<_> = (0..5).map(|_| connected(&mut client, &mut server, Route::V4)).collect();
    let (mut other, mut beside) = (scene.inside_peer(), scene.outside_peer());
    let (near, far) = connected(&mut other, &mut beside, Route::V6);
    other.set(&near, "SO_KEEPALIVE", 0);

    let status = attachment.status();
    let injected = |injected| Outcomes { injected, ..Outcomes::default() };
    assert_eq!((&status.sockets.active, &status.sockets.passive), (&injected(6), &injected(5)));
    assert_eq!(status.sockets.failures, [] as [serde_json::Value; 0]);
    let flows =
        json!({"total": 11, "protected": 10, "exposed": 1, "at_risk": 0, "overdue": 0, "stalled": 0, "local": 0});
    assert_eq!(json!(status.flows), flows);
    let counted: u64 = status.idle_histogram.iter().map(|bucket| bucket.count).sum();
    assert_eq!(counted, 11);
    let last = status.idle_histogram.last().expect("buckets");
    assert_eq!((last.le_s, last.count), (None, 0));

    // Sockets are counted once and for all, flows only while they are there.
    for (near, far) in &pairs {
        client.close(near);
        server.close(far);
    }
    beside.close(&far);
    other.close(&near);
    eventually("no flow is left", SOON, || (attachment.status().flows["total"] == 0).then_some(()));
    assert_eq!(attachment.status().sockets.active, injected(6));
}

/// A scan adds up in the kernel: two at once must not add into each other.
#[test]
fn scans_at_the_same_time_agree() {
    const CONNECTIONS: usize = 50;
    let scene = Scene::new("at-once");
    let attachment = scene.attach(&[]);
    let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
    let (injector, name) = (&scene.injector, attachment.name());
    let _pairs: Vec<_> = (0..CONNECTIONS).map(|_| connected(&mut client, &mut server, Route::V4)).collect();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                for _ in 0..5 {
                    assert_eq!(injector.flows(name).len(), 2 * CONNECTIONS);
                    assert_eq!(injector.status(name).flows["total"], 2 * CONNECTIONS as u64);
                }
            });
        }
    });
}

#[test]
fn it_prints_for_people_too() {
    let scene = Scene::new("people");
    let mut attachment = scene.attach(&[]);
    let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
    let _pair = connected(&mut client, &mut server, Route::V4);
    let output = scene.injector.run(&["status"]).ok();
    for word in [attachment.name(), &scene.inside.kernel_path(), "240", "injected"] {
        assert!(output.stdout.contains(word), "no word of {word}: {}", output.stdout);
    }
    let name = attachment.name().to_owned();
    attachment.stop(Signal::TERM).ok();
    let output = scene.injector.run(&["status"]).ok();
    assert!(!output.stdout.contains(&name), "{}", output.stdout);
}
