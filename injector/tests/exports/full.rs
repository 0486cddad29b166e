//! Metrics with every family that there is.

use std::time::{Duration, SystemTime};

use injector::internals::{
    Counters,
    metrics::{AtRisk, ConntrackUse, EnaAllowance, HopLimit, Memory, Metrics, Reload, Scan},
};
use injector_common::{
    scan::ScanTotals,
    stats::{ACTIVE, COUNTERS, INJECTED, OPTION_IDLE, PASSIVE, RESPECTED, failure_index, outcome_index},
};

/// A moment in 2025.
pub(crate) fn moment() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_750_000_000_500)
}

/// All families have a sample.
pub(crate) fn metrics() -> Metrics {
    let metrics = Metrics::new();
    metrics.scanned(scan(), Duration::from_millis(3));
    let mut figures = metrics.figures();
    figures.counted("kubepods", counters());
    figures.limits(vec![limit("nat", "default", 350), limit("lb \"eu\"", "config", 60)]);
    figures.interfaces(vec![EnaAllowance { interface: "eth0".to_owned(), available: Some(136_812), exceeded: 5 }]);
    figures.reloaded(Reload::Taken(moment()));
    figures.asked([("imds", false), ("ec2:DescribeNetworkInterfaces", true)]);
    figures.uncovered([("before_attach", 6), ("mptcp", 0)].into());
    figures.attached_cgroups = 2;
    figures.scan_failures = 2;
    figures.flows_expired = 3;
    figures.flows_lost = 4;
    figures.log_lines_dropped = 7;
    figures.memory = Some(Memory { maps_bytes: 8192, storage_bytes: 4096 });
    figures.conntrack = Some(ConntrackUse { entries: 250, limit: 262_144 });
    drop(figures);
    metrics
}

fn scan() -> Scan {
    let mut at_risk = AtRisk::default();
    at_risk.count(Some(("shop", "web")));
    at_risk.count(Some(("shop", "web")));
    at_risk.count(None);
    let mut totals = ScanTotals { by_status: [10, 5, 2, 1, 0, 7], closing: 9, adopted: 8, ..ScanTotals::EMPTY };
    totals.idle_histogram[0] = 15;
    totals.idle_histogram[8] = 2;
    totals.idle_histogram[12] = 1;
    Scan { at: moment(), totals, flows: 27, at_risk }
}

fn counters() -> Counters {
    let mut values = vec![0; COUNTERS as usize];
    values[outcome_index(ACTIVE, INJECTED) as usize] = 12;
    values[outcome_index(PASSIVE, RESPECTED) as usize] = 34;
    values[failure_index(OPTION_IDLE, 22) as usize] = 1;
    Counters::new(values)
}

fn limit(hop: &str, source: &str, seconds: u64) -> HopLimit {
    HopLimit { hop: hop.to_owned(), source: source.to_owned(), timeout: Duration::from_secs(seconds) }
}
