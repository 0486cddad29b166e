//! Hops configured by options and files: `timeouts`, `check` and `config`, in a network namespace whose sysctls are
//! ours.

use std::fs;

use injector_tests::{Injector, Netns, Output};
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use crate::attach::errors::{USAGE, assert_fails};

const FINDINGS: i32 = 5;

/// The load balancer at 1800 s, the interface at 350 s: "Best Practices for TCP Connection Management on EC2".
const ARTICLE: &str = r#"
[[hop]]
name = "eni"
kind = "eni"
timeout = "350s"

[[hop]]
name = "lb"
kind = "nlb-tcp"
timeout = "1800s"
"#;

/// The same with the interface as patient as the load balancer, and an application that closes idle connections.
const ALIGNED: &str = r#"
[[hop]]
name = "eni"
kind = "eni"
timeout = "1800s"

[[hop]]
name = "lb"
kind = "nlb-tcp"
timeout = "1800s"

[[application]]
name = "pool"
idle = "60s"
"#;

fn file(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().expect("there is room for a temporary file");
    fs::write(file.path(), text).expect("the file is ours");
    file
}

fn path(file: &NamedTempFile) -> &str {
    file.path().to_str().expect("temporary paths are UTF-8")
}

/// Runs `injector` inside a namespace.
fn run_in(namespace: &Netns, arguments: &[&str]) -> Output {
    Injector::find().run_through(&["nsenter", &format!("--net={}", namespace.path())], arguments)
}

fn codes(output: &Output) -> Vec<String> {
    let findings = output.json()["findings"].as_array().expect("findings are listed").clone();
    findings.iter().map(|finding| finding["code"].as_str().expect("a code").to_owned()).collect()
}

#[test]
fn check_finds_the_example_of_the_article_and_nothing_once_it_is_fixed() {
    let namespace = Netns::new("article");
    let article = file(ARTICLE);
    let output = run_in(&namespace, &["check", "--config", path(&article), "-o", "json"]);
    assert_eq!((output.code, codes(&output)), (FINDINGS, vec!["lb-outlives-eni".to_owned(), "sysctl-late".to_owned()]));
    let finding = &output.json()["findings"][0];
    for key in ["what", "why", "set", "where"] {
        assert!(finding[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {finding:#}");
    }
    assert!(
        finding["where"].as_str().is_some_and(|place| place.contains(&format!("{}:10", path(&article)))),
        "{finding:#}"
    );

    let aligned = file(ALIGNED);
    let output = run_in(&namespace, &["check", "--config", path(&aligned)]).ok();
    assert_eq!(output.stdout, "no findings\n");
}

#[test]
fn check_reads_the_sysctls_of_its_namespace() {
    let namespace = Netns::new("sysctls");
    let check = || run_in(&namespace, &["check", "--hop", "eni=eni:350s", "-o", "json"]);
    assert_eq!(codes(&check()), ["sysctl-late"]);
    namespace.sysctl("net.ipv4.tcp_keepalive_time", "240");
    namespace.sysctl("net.ipv4.tcp_keepalive_intvl", "30");
    assert_eq!(codes(&check().ok()), [""; 0]);
}

#[test]
fn options_take_the_place_of_the_files_hops() {
    let namespace = Netns::new("options");
    let article = file(ARTICLE);
    let arguments = ["timeouts", "--config", path(&article), "--hop", "eni=eni:60s@10.0.0.0/8", "-o", "json"];
    let document = run_in(&namespace, &arguments).ok().json();
    assert_eq!(document["schema"], "injector.timeouts/v1");
    let hop = |name: &str| -> Value {
        let hops = document["hops"].as_array().expect("hops are listed");
        hops.iter().find(|hop| hop["name"] == name).unwrap_or_else(|| panic!("no {name}: {document:#}")).clone()
    };
    assert_eq!((&hop("eni")["timeout_ms"], &hop("eni")["source"]), (&60_000.into(), &"--hop".into()));
    assert_eq!(hop("eni")["keepalive"]["idle_s"], 41);
    assert_eq!(hop("lb")["source"], format!("{}:10", path(&article)));
    assert_eq!(hop("lb")["expiry"], "reset");
}

#[test]
fn mistakes_are_reported_with_their_position() {
    let injector = Injector::find();
    let wrong = file("[[hop]]\nname = \"lb\"\nkind = \"nlb-tcp\"\ntimeout = \"30s\"\n");
    let place = format!("{}:4:11: ", path(&wrong));
    for command in [&["config", "check"][..], &["config", "show"], &["check", "--config"], &["timeouts", "--config"]] {
        let output = injector.run(&[command, &[path(&wrong)]].concat());
        assert_fails(&output, USAGE, &[&place, "nlb-tcp takes 60s to 6000s", "https://docs.aws.amazon.com/"]);
    }
    let table: [(&str, &[&str]); 4] = [
        ("lb=nlb-tcp:30s", &["--hop", "60s to 6000s"]),
        ("lb", &["--hop", "NAME=KIND[:TIMEOUT][@PREFIX[:PORT]]"]),
        ("lb=nlbtcp", &["--hop", "\"nlb-tcp\" perhaps"]),
        ("lb=gwlb@10.0.0.1/8", &["--hop", "10.0.0.0/8"]),
    ];
    for (hop, words) in table {
        assert_fails(&injector.run(&["timeouts", "--hop", hop]), USAGE, words);
    }
    assert_fails(&injector.run(&["timeouts", "--hop", "a=eni:60s", "--hop", "b=eni:90s"]), USAGE, &["\"a\"", "\"b\""]);
    let words = ["--discover is aws", "build with --features aws"];
    assert_fails(&injector.run(&["timeouts", "--discover", "aws"]), USAGE, &words);
    let asks = file("discover = \"aws\"\n");
    for command in [&["config", "check"][..], &["timeouts", "--config"], &["run", "--config"]] {
        let words = [&format!("{}:1:12: ", path(&asks)), "build with --features aws"];
        assert_fails(&injector.run(&[command, &[path(&asks)]].concat()), USAGE, &words);
    }
    assert_fails(
        &injector.run(&["config", "check", "/nonexistent.toml"]),
        USAGE,
        &["/nonexistent.toml: can't be read"],
    );
}

#[test]
fn the_default_file_is_right_and_shown_files_are_files_again() {
    let injector = Injector::find();
    let default = file(&injector.run(&["config", "default"]).ok().stdout);
    let output = injector.run(&["config", "check", path(&default)]).ok();
    assert_eq!(output.stdout, format!("{}: ok, hops: 0, policies: 0, applications: 0\n", path(&default)));
    let shown = file(&injector.run(&["config", "show", path(&file(ALIGNED))]).ok().stdout);
    let document = injector.run(&["config", "show", path(&shown), "-o", "json"]).ok().json();
    assert_eq!(document["schema"], "injector.config/v1");
    assert_eq!(
        (document["hops"][1]["name"].as_str(), document["applications"][0]["idle_ms"].as_u64()),
        (Some("lb"), Some(60_000))
    );
}

#[test]
fn unprivileged_users_may_ask_too() {
    let (injector, _directory): (_, TempDir) = Injector::find().for_everyone();
    let unprivileged = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let output = injector.run_through(&unprivileged, &["timeouts", "--hop", "eni=eni"]).ok();
    assert!(output.stdout.contains("240/30/9"), "{output:?}");
}
