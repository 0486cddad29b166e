//! The encoded text.

use std::{
    collections::BTreeSet,
    io::Write as _,
    process::{Command, Stdio},
};

use injector::internals::metrics::{Metrics, PREFIX, TextFormat};

use crate::full;

#[test]
fn every_figure_has_its_line() {
    let text = full::metrics().encode(TextFormat::Prometheus);
    for line in [
        concat!("build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "sockets_total{direction=\"active\",outcome=\"injected\"} 12",
        "sockets_total{direction=\"passive\",outcome=\"respected\"} 34",
        "sockets_total{direction=\"passive\",outcome=\"failed\"} 0",
        "sockets_unreadable_total 0",
        "option_failures_total{option=\"TCP_KEEPIDLE\",errno=\"22\"} 1",
        "calls_overruled_total{option=\"SO_KEEPALIVE\"} 0",
        "flows{status=\"protected\"} 10.0",
        "flows{status=\"closing\"} 9.0",
        "flows_adopted 8.0",
        "flows_at_risk{pod_namespace=\"shop\",workload=\"web\"} 2.0",
        "flows_at_risk{pod_namespace=\"_unknown\",workload=\"_unknown\"} 1.0",
        "flows_by_idle_time{up_to=\"1\"} 15.0",
        "flows_by_idle_time{up_to=\"300\"} 15.0",
        "flows_by_idle_time{up_to=\"350\"} 17.0",
        "flows_by_idle_time{up_to=\"3600\"} 17.0",
        "flows_by_idle_time{up_to=\"+Inf\"} 18.0",
        "flows_expired_total 3",
        "flows_lost_total 4",
        "flow_limit_seconds{hop=\"nat\",source=\"default\"} 350.0",
        "flow_limit_seconds{hop=\"lb \\\"eu\\\"\",source=\"config\"} 60.0",
        "attached_cgroups 2.0",
        "scan_duration_seconds_count 1",
        "scan_duration_seconds_bucket{le=\"0.004\"} 1",
        "scanned_flows_total 27",
        "last_scan_timestamp_seconds 1750000000.5",
        "scan_failures_total 2",
        "config_reloads_total{result=\"success\"} 1",
        "config_reloads_total{result=\"failure\"} 0",
        "config_last_reload_successful 1.0",
        "config_last_reload_success_timestamp_seconds 1750000000.5",
        "discovery_failures_total{call=\"imds\"} 1",
        "discovery_failures_total{call=\"ec2:DescribeNetworkInterfaces\"} 0",
        "log_lines_dropped_total 7",
        "map_memory_bytes 8192.0",
        "storage_memory_bytes 4096.0",
        "conntrack_entries 250.0",
        "conntrack_entries_limit 262144.0",
        "ena_conntrack_allowance_available{interface=\"eth0\"} 136812.0",
        "ena_conntrack_allowance_exceeded_total{interface=\"eth0\"} 5",
    ] {
        let line = format!("{PREFIX}_{line}");
        assert!(text.lines().any(|found| found == line), "no line {line} in\n{text}");
    }
}

#[test]
fn unknown_values_are_omitted() {
    let text = Metrics::new().encode(TextFormat::Prometheus);
    for name in ["flows{", "flow_idle", "last_scan", "config_last", "memory", "conntrack", "flow_limit", "discovery"] {
        assert!(!text.contains(&format!("{PREFIX}_{name}")), "{name} in\n{text}");
    }
    assert!(
        text.contains(&format!("{PREFIX}_sockets_total{{direction=\"active\",outcome=\"injected\"}} 0\n")),
        "{text}"
    );
}

#[test]
fn the_process_is_exported_under_the_usual_names() {
    let text = Metrics::new().encode(TextFormat::Prometheus);
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse::<f64>().ok()).unwrap_or_else(|| panic!("no {name} in\n{text}"))
    };
    assert!(value("process_cpu_seconds_total") < 3600.0);
    assert!(value("process_resident_memory_bytes") > 1_000_000.0);
    assert!(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"));
    assert!(value("process_open_fds") >= 3.0);
}

#[test]
fn openmetrics_ends_as_it_should() {
    let text = full::metrics().encode(TextFormat::OpenMetrics);
    assert!(text.ends_with("\n# EOF\n"), "{text}");
    assert!(text.contains(&format!("# TYPE {PREFIX}_sockets counter\n")), "{text}");
    assert!(text.contains(&format!("# TYPE {PREFIX}_flows_by_idle_time gauge\n")), "{text}");
}

#[test]
fn no_family_is_exported_twice() {
    let text = full::metrics().encode(TextFormat::Prometheus);
    let families: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert_eq!(families.iter().collect::<BTreeSet<_>>().len(), families.len(), "{text}");
}

#[test]
#[ignore = "needs promtool: `cargo xtask lint` runs it"]
fn promtool_has_nothing_to_say() {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there: `cargo xtask setup` installs it");
    let text = full::metrics().encode(TextFormat::Prometheus);
    promtool.stdin.take().expect("piped").write_all(text.as_bytes()).expect("read");
    let output = promtool.wait_with_output().expect("waited for");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}
