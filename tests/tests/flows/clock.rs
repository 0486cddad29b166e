//! The wall clock steps while an attachment is active. Only the watch's own clock does: the machine's is shared.

use std::fs;
use std::path::Path;

use injector_tests::{Injector, Place, Process, Route, Signal, connected, tool};
use serde_json::Value;

use crate::scene::{SOON, Scene, assert_nothing_left, flow_of};

/// A command line that gives a program the clock that `file` has, read each time.
fn with_clock(file: &Path) -> Vec<String> {
    let library = tool("faketime", &["-f", "+0", "printenv", "LD_PRELOAD"]);
    vec![
        format!("LD_PRELOAD={}", library.trim()),
        format!("FAKETIME_TIMESTAMP_FILE={}", file.display()),
        "FAKETIME_NO_CACHE=1".to_owned(),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
    ]
}

#[test]
fn a_watch_reports_in_time_whatever_the_clock_shows() {
    for step in ["+1d", "-1d"] {
        let scene = Scene::new("clock");
        let injector = Injector::dynamic();
        let _clean_up = scene.injector.clean_up_after(&scene.inside);
        let directory = tempfile::tempdir().unwrap();
        let clock = directory.path().join("clock");
        fs::write(&clock, "+0\n").unwrap();
        let environment = with_clock(&clock);
        let attach = [
            "attach",
            "--loopback",
            "-o",
            "jsonl",
            "--timeout",
            "4s",
            "--on-conflict",
            "respect",
            "--cgroup",
            scene.inside.path_text(),
        ];
        let mut arguments: Vec<&str> = environment.iter().map(String::as_str).collect();
        arguments.push(injector.binary());
        let mut watch = Process::spawn(Place::default(), "env", &[&arguments, &attach[..]].concat());
        let mut event = || -> Value { serde_json::from_str(&watch.expect_line(SOON)).unwrap() };
        assert_eq!(event()["event"], "attached");
        let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
        let (near, _far) = connected(&mut client, &mut server, Route::V4);
        client.set(&near, "SO_KEEPALIVE", 0);
        fs::write(&clock, format!("{step}\n")).unwrap();
        while event()["event"] != "overdue" {}
        watch.signal(Signal::TERM);
        assert!(watch.wait(SOON).success(), "{}", watch.stderr());
        let summary: Value = serde_json::from_str(&watch.rest().pop().expect("a summary")).unwrap();
        assert!(summary["watched_ms"].as_u64().expect("a number") < 600_000, "{summary}");
        assert_nothing_left(&scene);
    }
}

#[test]
fn an_attachment_of_tomorrow_is_reported() {
    let scene = Scene::new("tomorrow");
    let _clean_up = scene.injector.clean_up_after(&scene.inside);
    let faketime = ["faketime", "--exclude-monotonic", "-f", "+1d"];
    let attach = ["attach", "--detach", "--cgroup", scene.inside.path_text()];
    Injector::dynamic().run_through(&faketime, &attach).ok();
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    let tomorrow = tool("date", &["--utc", "--date", "tomorrow", "+%F"]);
    assert!(attachment.status().since.starts_with(tomorrow.trim()), "{}", attachment.status().since);
    let report = scene.injector.run(&["status"]).ok().stdout;
    assert!(report.contains(attachment.name()), "{report}");
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    assert!(flow_of(&attachment, &near).age_ms < 600_000);
}
