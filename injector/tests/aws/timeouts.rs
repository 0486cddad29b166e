//! What `timeouts` prints for each answer: value, source, and what is unknown.

use std::time::{Duration, Instant};

use injector_tests::{Injector, Output};

use crate::{
    DENIED, configuration,
    fake::{Answer, Call, Fake},
    injector,
};

/// All calls end within 8 s; the rest is for a busy machine.
const DEADLINE: Duration = Duration::from_secs(12);
const TYPE: Call = Call::Metadata("/latest/meta-data/instance-type");
const NOT_SET: &str = include_str!("fixtures/interfaces_not_set.xml");
const EC2_THROTTLED: &str = include_str!("fixtures/ec2_throttled.xml");
const ELB_DENIED: &str = include_str!("fixtures/elb_denied.xml");
const ELB_THROTTLED: &str = include_str!("fixtures/elb_throttled.xml");

/// `NAME KIND SECONDS SOURCE` of each discovered hop, and the notes.
fn timeouts(answers: &[(Call, Answer)]) -> (Vec<String>, String) {
    let fake = Fake::start();
    for (call, answer) in answers {
        fake.answer(*call, *answer);
    }
    let (injector, _script) = injector(&fake);
    let started = Instant::now();
    let output = injector.run(&["timeouts", "--discover", "aws", "-o", "json"]).ok();
    assert!(started.elapsed() < DEADLINE, "{:?}", started.elapsed());
    (hops(&output), notes(&output))
}

/// Not all of stderr: what others have attached on this host may be remarked on, too.
fn notes(output: &Output) -> String {
    output.stderr.lines().filter(|line| line.starts_with("injector: note: ")).collect()
}

fn hops(output: &Output) -> Vec<String> {
    let document = output.json();
    let hops = document["hops"].as_array().expect("hops are listed").iter();
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    hops.filter(|hop| hop["kind"] != "nf-conntrack")
        .map(|hop| {
            let seconds = hop["timeout_ms"].as_u64().expect("a number") / 1000;
            format!("{} {} {seconds} {}", text(&hop["name"]), text(&hop["kind"]), text(&hop["source"]))
        })
        .collect()
}

const SECOND: &str =
    "eni-0a1b2c3d4e5f60002 eni 350 discovered by ec2:DescribeNetworkInterfaces (not set: default of m8i, Nitro v6)";
const NLB: [&str; 2] = [
    "nlb-db-5432 nlb-tcp 1800 discovered by elasticloadbalancing:DescribeListenerAttributes",
    "nlb-db-443 nlb-tls 350 default of its kind",
];

/// The two hops of the interfaces, as a text with two gaps has them.
fn interfaces(rest: &str) -> [String; 2] {
    ["1", "2"].map(|number| format!("eni-0a1b2c3d4e5f6000{number} eni {rest}"))
}

/// SECURITY.md#aws
#[test]
fn values_that_are_set_and_places() {
    let (hops, said) = timeouts(&[]);
    let first = "eni-0a1b2c3d4e5f60001 eni 1800 discovered by ec2:DescribeNetworkInterfaces";
    assert_eq!(hops, [&[first, SECOND], &NLB[..]].concat());
    assert_eq!(said, "");
    let fake = Fake::start();
    let (injector, _script) = injector(&fake);
    let table = injector.run(&["timeouts", "--discover", "aws"]).ok().stdout;
    for place in [
        "local 10.0.1.5/32 or 127.0.0.1/32 or 2001:db8:1::5/128",
        "local 10.0.2.5/32 or 10.0.2.16/28",
        "peer 10.0.9.7/32 or 2001:db8:9::7/128 or 10.0.10.7/32 or 203.0.113.7/32 port 5432",
    ] {
        assert!(table.contains(place), "{place}: {table}");
    }
}

#[test]
fn values_that_are_not_set_are_those_of_the_generation() {
    let table = [
        ("m8i.large", "350 discovered by ec2:DescribeNetworkInterfaces (not set: default of m8i, Nitro v6)", ""),
        ("m8g.large", "432000 discovered by ec2:DescribeNetworkInterfaces (not set: default of m8g, Nitro v5)", ""),
        ("quantum1.large", "350 default of its kind", "\"quantum1\" is not a known instance family"),
    ];
    for (instance_type, expected, note) in table {
        let answers = [(TYPE, Answer::Http(200, instance_type)), (Call::Interfaces, Answer::Http(200, NOT_SET))];
        let (hops, said) = timeouts(&answers);
        assert_eq!(hops[..2], interfaces(expected), "{instance_type}");
        assert!(said.contains(note) && said.is_empty() == note.is_empty(), "{said}");
    }
}

#[test]
fn ec2_refuses() {
    for (status, body, code) in [(403, DENIED, "UnauthorizedOperation"), (503, EC2_THROTTLED, "RequestLimitExceeded")] {
        let refused = Answer::Http(status, body);
        let (hops, said) = timeouts(&[(Call::Interfaces, refused), (Call::BalancerInterfaces, refused)]);
        assert_eq!(hops, interfaces("350 default of its kind"));
        let unknown = "not known for eni-0a1b2c3d4e5f60001, eni-0a1b2c3d4e5f60002: assumed 350s";
        for words in [code, unknown, "no load balancers are known"] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
}

#[test]
fn elastic_load_balancing_refuses() {
    let assumed = "nlb-db-5432 nlb-tcp 350 default of its kind";
    for (status, body, code) in [(403, ELB_DENIED, "AccessDenied"), (400, ELB_THROTTLED, "Throttling")] {
        let refused = Answer::Http(status, body);
        let (hops, said) = timeouts(&[(Call::Attributes, refused)]);
        assert_eq!(hops[2..], [assumed, NLB[1]], "{said}");
        assert!(said.contains(code) && said.contains("not known for nlb-db-5432: assumed 350s"), "{said}");
        for call in [Call::Balancers, Call::Listeners] {
            let (hops, said) = timeouts(&[(call, refused)]);
            assert_eq!(hops[2..], ["nlb-db nlb-tcp 350 default of its kind"], "{said}");
            assert!(said.contains(code) && said.contains("not known for nlb-db: assumed 350s"), "{said}");
        }
    }
}

#[test]
fn metadata_that_never_answers_as_with_a_hop_limit_of_1() {
    let (hops, said) = timeouts(&[(Call::Token, Answer::Nothing)]);
    assert_eq!(hops, [""; 0]);
    for words in [
        "imds: no answer from the instance metadata",
        "hop limit of 2",
        "no interfaces are known",
        "no load balancers are known",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn no_answers() {
    let (hops, said) = timeouts(&[(Call::Interfaces, Answer::Nothing), (Call::BalancerInterfaces, Answer::Nothing)]);
    assert_eq!(hops, interfaces("350 default of its kind"));
    assert!(said.contains("ec2:DescribeNetworkInterfaces: "), "{said}");
}

#[test]
fn no_endpoint() {
    // Nothing listens on the discard port.
    let wrapper =
        ["env", "AWS_ENDPOINT_URL=http://127.0.0.1:9", "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:9"];
    let output = Injector::at(env!("CARGO_BIN_EXE_injector").into())
        .run_through(&wrapper, &["timeouts", "--discover", "aws", "-o", "json"])
        .ok();
    assert_eq!(hops(&output), [""; 0]);
    assert!(output.stderr.contains("Connection refused"), "{output:?}");
}

#[test]
fn the_file_says_whom_to_ask_unless_the_command_line_does() {
    let fake = Fake::start();
    let (injector, _script) = injector(&fake);
    let (file, _directory) = configuration("discover = \"aws\"\n");
    let output = injector.run(&["timeouts", "--config", &file, "-o", "json"]).ok();
    assert_eq!(hops(&output).len(), 4);
    let output = injector.run(&["timeouts", "--config", &file, "--discover", "none", "-o", "json"]).ok();
    assert_eq!(hops(&output), [""; 0]);
    let shown = injector.run(&["config", "show", &file]).ok().stdout;
    assert!(shown.contains("discover = \"aws\"\ndiscover_interval = \"300s\"\n"), "{shown}");
}

#[test]
fn check_and_recommend_use_discovered_hops() {
    let fake = Fake::start();
    let (injector, _script) = injector(&fake);
    let findings = injector.run(&["check", "--discover", "aws", "-o", "json"]);
    assert!(findings.stdout.contains("lb-outlives-eni"), "{findings:?}");
    let settings = injector.run(&["recommend", "--for", "sysctl", "--discover", "aws"]).ok();
    assert!(settings.stdout.contains("eni-0a1b2c3d4e5f60002"), "{settings:?}");
}
