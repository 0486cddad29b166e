//! What it costs to treat a socket.

use injector_tests::{Cgroup, Netns, Place};
use serde_json::Value;

use crate::{
    calls,
    lab::{self, Config, Effort},
    report::{Measure, Target},
    statistics::Spread,
};

pub(crate) const ABOUT: &str = "Connections over loopback, opened, accepted and closed one after the other by one process, whose processor \
     time includes the kernel's work on both ends. Only the connecting end is treated. libkeepalive is loaded by LD_PRELOAD and sets \
     the same four values. Calls of setsockopt are made on one connection, with and without the guard; its program alone is timed by the \
     kernel (bpf_stats_enabled).";

pub(crate) const LIMITS: &str = "what either adds to a connection is a tenth of its cost, and no more than what two rounds of the same differ by \
     on this machine: the difference between the two has its quartiles on both sides of nothing.";

/// A way to get keepalive onto a socket.
enum Way {
    Nothing,
    Preload,
    Rules(Config),
}

struct Variant {
    name: String,
    way: Way,
}

const BASE: &str = "nothing";
const LIBKEEPALIVE: &str = "libkeepalive";

pub(crate) fn run(effort: Effort) -> (Vec<Measure>, Vec<Target>) {
    let (netns, outside, inside) = (Netns::new("connect"), Cgroup::new("listens"), Cgroup::new("connects"));
    let variants = variants();
    let mut reports: Vec<Vec<Value>> = variants.iter().map(|_| Vec::new()).collect();
    let count = effort.amount(3000);
    for _ in 0..effort.rounds() {
        for index in lab::shuffled(variants.len()) {
            reports[index].push(measure(&variants[index].way, &netns, &outside, &inside, count));
        }
    }
    let (mut measures, targets) = judge(&variants, &reports, count);
    measures.extend(calls::run(effort));
    (measures, targets)
}

fn variants() -> Vec<Variant> {
    let rules = [1, 100, 10_000].map(|count| (rules_name(count), Way::Rules(Config::with_rules(count))));
    let others = [(BASE.to_owned(), Way::Nothing), (LIBKEEPALIVE.to_owned(), Way::Preload)];
    others.into_iter().chain(rules).map(|(name, way)| Variant { name, way }).collect()
}

fn rules_name(count: usize) -> String {
    format!("injector, {count} rule{}", if count > 1 { "s" } else { "" })
}

fn measure(way: &Way, netns: &Netns, outside: &Cgroup, inside: &Cgroup, count: usize) -> Value {
    let place = Place::cgroup(outside).on(netns);
    let count = count.to_string();
    let arguments = ["connect", "--count", &count, "--cgroup", inside.path_text()];
    let config = if let Way::Rules(config) = way { Some(["--config", config.path()]) } else { None };
    let _attachment = lab::attach(inside, config.as_ref().map(|config| &config[..]));
    let mut process = match way {
        Way::Preload => lab::preloaded(place, &["KEEPIDLE=240", "KEEPINTVL=30", "KEEPCNT=9"], &arguments),
        Way::Nothing | Way::Rules(_) => lab::load(place, &arguments),
    };
    lab::json(&mut process)
}

fn judge(variants: &[Variant], reports: &[Vec<Value>], count: usize) -> (Vec<Measure>, Vec<Target>) {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let count = count as f64;
    let series = |value: &dyn Fn(&Value) -> f64| {
        variants
            .iter()
            .zip(reports)
            .map(|(variant, reports)| (variant.name.clone(), reports.iter().map(value).collect()))
            .collect()
    };
    let cpu = Measure::new(
        "processor time per connection",
        "us",
        series(&|report| lab::number(&report["cpu_ns"]) / 1000.0 / count),
    );
    let rate = Measure::new("connections", "1/s", series(&|report| count * 1e9 / lab::number(&report["wall_ns"])));
    let (base, library, ours) = (cpu.of(BASE), cpu.of(LIBKEEPALIVE), cpu.of(&rules_name(1)));
    let added = |samples: &[f64]| samples.iter().zip(&base.samples).map(|(sample, base)| sample - base).collect();
    let (added_library, added_ours): (Vec<f64>, Vec<f64>) = (added(&library.samples), added(&ours.samples));
    let more: Vec<f64> = added_ours.iter().zip(&added_library).map(|(ours, library)| ours - library).collect();
    let targets = vec![
        Target::at_most("added per socket by injector less that by libkeepalive, at most 0 us", 0.0, Spread::of(&more)),
        Target::at_most(
            "10,000 rules cost at most 1.05 times what one does",
            1.05,
            cpu.ratio(&rules_name(10_000), &rules_name(1)),
        ),
    ];
    let added = Measure::new(
        "processor time added per socket",
        "us",
        vec![(LIBKEEPALIVE.to_owned(), added_library), (ours.name.clone(), added_ours)],
    );
    (vec![cpu, added, rate], targets)
}
