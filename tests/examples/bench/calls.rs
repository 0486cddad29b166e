//! What the guard costs an application that calls `setsockopt`, of which the benchmark `connect` reports.

use std::fs;

use injector_tests::{Cgroup, Injector, Netns, Place, tool};
use serde_json::Value;

use crate::{
    lab::{self, Effort},
    report::Measure,
};

const RESPECT: &str = "without guard";
const TIGHTEN: &str = "with guard";
const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Calls a second without and with the guard, and the time of its program alone.
pub(crate) fn run(effort: Effort) -> Vec<Measure> {
    let (netns, cgroup) = (Netns::new("calls"), Cgroup::new("calls"));
    let modes = [(RESPECT, "respect"), (TIGHTEN, "tighten")];
    let mut reports = [Vec::new(), Vec::new()];
    let count = effort.amount(200_000);
    for _ in 0..effort.rounds() {
        for index in lab::shuffled(modes.len()) {
            let _attachment = Injector::find().attach(&cgroup, &["--on-conflict", modes[index].1]);
            reports[index].push(calls(&netns, &cgroup, count));
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let per_second = |option: &str, report: &Value| count as f64 * 1e9 / lab::number(&report[option]["wall_ns"]);
    let measure = |what: &str, option: &str| {
        let series = modes.iter().zip(&reports).map(|((name, _), reports)| {
            ((*name).to_owned(), reports.iter().map(|report| per_second(option, report)).collect())
        });
        Measure::new(format!("setsockopt calls, {what}"), "1/s", series.collect())
    };
    let alone = Measure::new(
        "the guard's program alone, per call of another option",
        "ns",
        vec![(TIGHTEN.to_owned(), (0..effort.rounds()).map(|_| program_ns(&netns, &cgroup, count)).collect())],
    );
    vec![measure("options of others", "other"), measure("a keepalive option", "keepalive"), alone]
}

fn calls(netns: &Netns, cgroup: &Cgroup, count: usize) -> Value {
    let count = count.to_string();
    let mut process = lab::load(Place::netns(netns), &["set", "--count", &count, "--cgroup", cgroup.path_text()]);
    lab::json(&mut process)
}

/// As the kernel counts it, which itself takes time: calls are not timed meanwhile.
fn program_ns(netns: &Netns, cgroup: &Cgroup, count: usize) -> f64 {
    let _attachment = Injector::find().attach(cgroup, &[]);
    let id = cgroup.program_ids("setsockopt").first().expect("the guard is attached").to_string();
    let before = fs::read_to_string(STATISTICS).expect("every kernel since 5.1 has it");
    fs::write(STATISTICS, "1").expect("root may");
    calls(netns, cgroup, count);
    fs::write(STATISTICS, before.trim()).expect("root may");
    let program: Value = serde_json::from_str(&tool("bpftool", &["-j", "prog", "show", "id", &id])).expect("JSON");
    lab::number(&program["run_time_ns"]) / lab::number(&program["run_cnt"])
}
