//! Files with a mistake in them, and one without.

use std::path::Path;

use super::*;
use crate::discovery::local::{Conntrack, Ena, TcpKeepalive};

const LINUX: TcpKeepalive = TcpKeepalive { idle_s: 7200, interval_s: 75, probes: 9 };
const TUNED: TcpKeepalive = TcpKeepalive { idle_s: 240, interval_s: 30, probes: 9 };
const CONNTRACK: Conntrack = Conntrack { tcp_established_s: 432_000, count: 10, max: 262_144 };

/// What the first article of AWS calls the safer pattern: the load balancer at
/// 1800 s behind an interface that waits as long, the application at 60 s.
const ALIGNED: &str = r#"
    [[hop]]
    name = "eni"
    kind = "eni"
    timeout = "1800s"
    [[hop]]
    name = "lb"
    kind = "nlb-tcp"
    timeout = "1800s"
    remote = "10.0.9.0/24"
    [[hop]]
    name = "web"
    kind = "alb"
    timeout = "90s"
    remote = "10.0.8.0/24"
    [[application]]
    name = "pool"
    idle = "60s"
"#;

fn host() -> Host {
    Host { tcp_keepalive: Some(LINUX), nf_conntrack: Some(CONNTRACK), ena: vec![] }
}

fn found(file: &str, host: &Host) -> Vec<Finding> {
    let config = Config::parse(Path::new("t.toml"), file.as_bytes()).expect("valid");
    findings(&Evidence { config: &config, host })
}

fn codes(file: &str, host: &Host) -> Vec<&'static str> {
    found(file, host).iter().map(|finding| finding.code).collect()
}

/// `hop("a", "eni", 350, "")`, with more keys in the last one.
fn hop(name: &str, kind: &str, timeout_s: u32, more: &str) -> String {
    format!("[[hop]]\nname = \"{name}\"\nkind = \"{kind}\"\ntimeout = {timeout_s}\n{more}\n")
}

fn application(name: &str, more: &str) -> String {
    format!("[[application]]\nname = \"{name}\"\n{more}\n")
}

#[test]
fn an_aligned_file_is_silent() {
    assert_eq!(codes(ALIGNED, &host()), [""; 0]);
    assert_eq!(codes("", &host()), [""; 0]);
    // Keepalive of its own, below every limit, aligns an application too.
    let file = hop("eni", "eni", 350, "")
        + &application("db", "keepalive = { idle = 240, interval = 30, probes = 9, user_timeout = 510 }");
    assert_eq!(codes(&file, &host()), [""; 0]);
}

#[test]
fn the_example_of_the_article() {
    let file = hop("eni", "eni", 350, "") + &hop("lb", "nlb-tcp", 1800, "") + &application("pool", "idle = 60");
    let found = found(&file, &host());
    assert_eq!(
        found,
        [Finding {
            code: "lb-outlives-eni",
            what: "lb (nlb-tcp) keeps an idle connection for 1800s, eni (eni) drops it after 350s".to_owned(),
            why: "after 350s without a packet the network interface silently drops later packets, while lb has the \
                  connection open: it looks alive and fails at the next request"
                .to_owned(),
            set: "tcp.idle_timeout.seconds of the listener to 350s or less, or TcpEstablishedTimeout of the interface to \
                  more than 1800s; or keepalive with idle 240s, interval 30s and 9 probes, as `injector attach` sets"
                .to_owned(),
            location: "lb: t.toml:9; eni: t.toml:4".to_owned(),
        }]
    );
}

#[test]
fn hops_against_each_other() {
    let v5 = |more: &str| hop("v5", "eni", 432_000, more);
    let v6 = |more: &str| hop("v6", "eni", 350, more);
    let pool = application("pool", "idle = 10");
    let table: [(&str, String, &[&str]); 11] = [
        ("equal", hop("e", "eni", 350, "") + &hop("l", "nlb-tcp", 350, ""), &[]),
        ("shorter", hop("e", "eni", 432_000, "") + &hop("l", "nlb-tcp", 350, ""), &[]),
        ("gwlb", hop("e", "eni", 350, "") + &hop("l", "gwlb", 351, ""), &["lb-outlives-eni"]),
        ("tls", hop("e", "eni", 60, "") + &hop("l", "nlb-tls", 350, ""), &["lb-outlives-eni"]),
        ("envoy", hop("e", "eni", 350, "") + &hop("l", "envoy", 3600, ""), &["lb-outlives-eni"]),
        (
            "never on one way",
            hop("e", "eni", 350, "direction = \"passive\"") + &hop("l", "nlb-tcp", 900, "direction = \"active\""),
            &[],
        ),
        ("mixed", v5("local = \"10.0.1.0/24\"") + &v6("local = \"10.0.2.0/24\""), &["eni-mixed"]),
        ("same", hop("a", "eni", 350, "local = \"10.0.1.0/24\"") + &v6("local = \"10.0.2.0/24\""), &[]),
        ("alb", hop("web", "alb", 60, ""), &[]),
        ("late for alb", hop("web", "alb", 10, ""), &["layer7-timer"]),
        ("behind another", hop("web", "alb", 60, "remote = \"10.0.0.0/8\""), &[]),
    ];
    for (case, file, expected) in table {
        assert_eq!(codes(&(file + &pool), &host()), expected, "{case}");
    }
}

#[test]
fn timers_of_the_application_layer() {
    let elsewhere = application("db", "idle = 10\nremote = \"10.0.9.0/24\"");
    let file = hop("web", "alb", 60, "remote = \"10.0.8.0/24\"") + &elsewhere;
    let found = found(&file, &host());
    assert_eq!(found.len(), 1, "no application is behind it, so no side closes before it");
    assert_eq!(found[0].what, "keepalive does not help here: web closes at 60s");
    let late = application("crawler", "remote = \"10.0.8.7\"\nkeepalive = { idle = 10, interval = 5 }");
    let found = self::found(&(file + &late), &host());
    assert!(found[0].why.contains("closes idle connections of crawler nevertheless"), "{found:?}");
}

#[test]
fn servers_behind_a_load_balancer_close_after_it() {
    let table: [(&str, String, &[&str]); 5] = [
        ("closes first", application("api", "idle = 60"), &["target-closes-first"]),
        ("closes after", application("api", "idle = 61"), &[]),
        ("never closes", application("api", ""), &[]),
        ("no application behind", String::new(), &[]),
        ("one of two", application("api", "") + &application("old", "idle = 5"), &["target-closes-first"]),
    ];
    for (case, applications, expected) in table {
        let file = hop("web", "alb", 60, "direction = \"passive\"") + &applications;
        assert_eq!(codes(&file, &host()), expected, "{case}");
    }
}

#[test]
fn applications_against_hops() {
    let eni = hop("eni", "eni", 350, "");
    let far = hop("far", "custom", 60, "remote = \"10.0.9.0/24\"");
    let table: [(&str, &str, &[&str]); 12] = [
        ("closes first", "idle = 349\nremote = \"10.0.8.7\"", &[]),
        ("closes too late", "idle = 350\nremote = \"10.0.8.7\"", &["app-outlives-hop", "sysctl-late"]),
        ("never closes", "", &["app-outlives-hop", "sysctl-late"]),
        ("elsewhere", "idle = 100\nremote = \"10.0.8.0/24\"", &[]),
        ("behind the shorter one", "idle = 100\nremote = \"10.0.9.7\"", &["app-outlives-hop", "sysctl-late"]),
        ("serves", "keepalive = { idle = 40, interval = 5 }", &[]),
        ("too late", "keepalive = { idle = 350, interval = 5 }", &["keepalive-late"]),
        ("slow interval", "remote = \"10.0.8.7\"\nkeepalive = { idle = 60, interval = 400 }", &["keepalive-late"]),
        ("late, but closes", "idle = 30\nkeepalive = { idle = 350, interval = 5 }", &[]),
        ("on, no times", "keepalive = {}", &["keepalive-late", "sysctl-late"]),
        ("short user timeout", "keepalive = { idle = 40, interval = 5, user_timeout = 52 }", &["user-timeout-short"]),
        ("user timeout", "keepalive = { idle = 40, interval = 5, user_timeout = 53 }", &[]),
    ];
    for (case, more, expected) in table {
        let file = eni.clone() + &far + &application("pool", more);
        assert_eq!(codes(&file, &host()), expected, "{case}");
    }
}

#[test]
fn the_reason_names_the_shortest_hop() {
    let file = hop("eni", "eni", 350, "") + &hop("fw", "network-firewall", 60, "") + &application("pool", "idle = 100");
    let found = found(&file, &host());
    assert_eq!(found[0].what, "pool keeps idle connections for 100s, fw (network-firewall) only for 60s");
    assert_eq!(found[0].location, "pool: t.toml:12; fw: t.toml:9");
}

#[test]
fn options_of_attach_against_hops() {
    let table: [(&str, &str, u32, &[&str]); 6] = [
        ("idle below", "idle = 40", 60, &[]),
        ("idle at the limit", "idle = 60", 60, &["keepalive-late"]),
        ("interval beyond", "interval = 61", 60, &["keepalive-late"]),
        ("idle that may be late", "idle = 54", 60, &["keepalive-late"]),
        ("user timeout for another limit", "timeout = 60\nuser_timeout = 60", 350, &["user-timeout-short"]),
        ("user timeout with room", "user_timeout = 339", 350, &[]),
    ];
    for (case, top, timeout, expected) in table {
        let file = format!("{top}\n") + &hop("x", "custom", timeout, "") + &application("pool", "idle = 1");
        assert_eq!(codes(&file, &host()), expected, "{case}");
    }
}

#[test]
fn policies_against_hops() {
    let policy = |more: &str| format!("[[policy]]\n{more}\n");
    let explicit = |values: &str| policy(&format!("keepalive = {{ {values} }}"));
    let elsewhere = policy("keepalive = { idle = 600 }\nremote = \"10.0.8.0/24\"");
    let there = policy("keepalive = { idle = 100 }\nremote = \"10.0.9.0/24\"");
    let outwards = policy("keepalive = { idle = 600 }\ndirection = \"active\"");
    let table: [(&str, String, &[&str]); 9] = [
        ("below", explicit("idle = 40, interval = 30"), &[]),
        ("beyond", explicit("idle = 600, interval = 100"), &["keepalive-late"]),
        ("slow interval", explicit("idle = 60, interval = 350"), &["keepalive-late"]),
        ("derived", policy("keepalive = \"derived\""), &[]),
        ("exempt", policy("keepalive = \"exempt\""), &[]),
        ("behind another", elsewhere, &["keepalive-late"]),
        ("behind a shorter one", there, &["keepalive-late"]),
        ("the other way", outwards, &["keepalive-late"]),
        ("two", explicit("idle = 400") + &explicit("idle = 500"), &["keepalive-late"; 2]),
    ];
    let hops = hop("eni", "eni", 350, "") + &hop("db", "custom", 60, "remote = \"10.0.9.0/24\"\nport = 5432");
    for (case, policies, expected) in table {
        let file = hops.clone() + &policies + &application("pool", "idle = 1");
        assert_eq!(codes(&file, &host()), expected, "{case}");
    }
    let second = hops.clone()
        + &explicit("idle = 10")
        + &explicit("idle = 600, interval = 100")
        + &application("pool", "idle = 1");
    let found = found(&second, &host());
    assert_eq!(found[0].what, "keepalive of policy 2 leaves up to 677s of idle time, db (custom) waits only 60s");
    assert_eq!(found[0].location, "`keepalive` of policy 2; db: t.toml:9");
    let passive = hop("in", "eni", 350, "direction = \"passive\"")
        + &policy("keepalive = { idle = 600 }\ndirection = \"active\"");
    assert_eq!(codes(&(passive + &application("pool", "idle = 1")), &host()), [""; 0]);
}

#[test]
fn the_host_against_hops() {
    let full = |count| Conntrack { count, max: 100, ..CONNTRACK };
    let short = Conntrack { tcp_established_s: 300, ..CONNTRACK };
    let ena = |exceeded| Ena {
        interface: "eth0".to_owned(),
        conntrack_allowance_available: Some(5),
        conntrack_allowance_exceeded: exceeded,
    };
    let eni = hop("eni", "eni", 350, "");
    let known = eni.clone() + &hop("ct", "nf-conntrack", 300, "");
    let with = |tcp_keepalive, nf_conntrack, ena| Host { tcp_keepalive, nf_conntrack, ena };
    let table: [(&str, &str, Host, &[&str]); 10] = [
        ("defaults", &eni, with(Some(LINUX), None, vec![]), &["sysctl-late"]),
        ("tuned", &eni, with(Some(TUNED), None, vec![]), &[]),
        ("slow interval", &eni, with(Some(TcpKeepalive { interval_s: 350, ..TUNED }), None, vec![]), &["sysctl-late"]),
        ("no hops", "", with(Some(LINUX), Some(short), vec![]), &[]),
        ("short conntrack", &eni, with(Some(TUNED), Some(short), vec![]), &["conntrack-short"]),
        ("short, but known", &known, with(Some(TUNED), Some(short), vec![]), &[]),
        ("nearly full", "", with(None, Some(full(90)), vec![]), &["conntrack-full"]),
        ("not full", "", with(None, Some(full(89)), vec![]), &[]),
        ("allowance", "", with(None, None, vec![ena(Some(7))]), &["ena-allowance-exceeded"]),
        ("no drops", "", with(None, None, vec![ena(Some(0)), ena(None)]), &[]),
    ];
    for (case, file, host, expected) in table {
        assert_eq!(codes(file, &host), expected, "{case}");
    }
}

#[test]
fn every_finding_says_what_why_what_to_set_and_where() {
    let file = hop("eni", "eni", 350, "local = \"10.0.1.0/24\"")
        + &hop("old", "eni", 432_000, "local = \"10.0.2.0/24\"")
        + &hop("lb", "nlb-tcp", 1800, "")
        + &hop("web", "alb", 60, "")
        + &application("pool", "idle = 400")
        + &application("db", "keepalive = { idle = 400, interval = 10, user_timeout = 5 }");
    let host = Host {
        tcp_keepalive: Some(LINUX),
        nf_conntrack: Some(Conntrack { tcp_established_s: 60, count: 95, max: 100 }),
        ena: vec![Ena {
            interface: "eth0".to_owned(),
            conntrack_allowance_available: None,
            conntrack_allowance_exceeded: Some(1),
        }],
    };
    let found = found(&file, &host);
    let codes: std::collections::BTreeSet<_> = found.iter().map(|finding| finding.code).collect();
    assert_eq!(codes.len(), 10, "{codes:?}");
    for finding in &found {
        let Finding { what, why, set, location, .. } = finding;
        assert!([what, why, set, location].iter().all(|text| !text.is_empty()), "{finding:?}");
        assert!([what, why, set].iter().all(|text| !text.contains("  ") && !text.contains('\n')), "{finding:?}");
    }
}
