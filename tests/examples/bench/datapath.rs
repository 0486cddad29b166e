//! What established connections feel.

use injector_tests::{Cgroup, Netns, Place};
use serde_json::Value;

use crate::{
    lab::{self, Effort},
    report::{Measure, Target},
};

pub(crate) const ABOUT: &str = "A client and a server, two threads of one process on one processor, both treated. Round trips are a byte each way; bulk is 64 KiB one way \
     and a byte back. With 50 connections all requests are out before the first answer is read.";

pub(crate) const LIMITS: &str = "calls of the kernel's helpers. With `--track packets` each packet passes a program at its sender and one at its \
     receiver, and each makes four calls: for the record, the bytes of both headers, the sequence number that is due, \
     and the time. By default nothing runs for a packet.";

const BASE: &str = "nothing";
const SOCKETS: &str = "--track sockets";
const PACKETS: &str = "--track packets";
const VARIANTS: [(&str, Option<&[&str]>); 3] =
    [(BASE, None), (SOCKETS, Some(&[])), (PACKETS, Some(&["--track", "packets"]))];
/// What is judged by: others on the machine disturb it less than the wall clock.
const PER_PROCESSOR_SECOND: &str = "per second of processor time";
/// Shares of the rate with nothing attached.
const LEAST: [(&str, f64); 2] = [(SOCKETS, 0.99), (PACKETS, 0.93)];
const LOADS: [&str; 4] =
    ["round trips, 1 connection", "bulk, 1 connection", "round trips, 50 connections", "bulk, 50 connections"];
const ROUND_TRIPS: usize = 5000;
const CHUNKS: usize = 3000;

pub(crate) fn run(effort: Effort) -> (Vec<Measure>, Vec<Target>) {
    let (client, server, cgroup) = (Netns::new("client"), Netns::new("server"), Cgroup::new("datapath"));
    client.join("wire", &server, "wire");
    client.address("wire", &["10.78.0.1/24"]);
    server.address("wire", &["10.78.0.2/24"]);
    let ways: [(&str, &str, Option<String>); 2] =
        [("loopback", "127.0.0.1", None), ("veth", "10.78.0.2", Some(server.path()))];
    // By way and variant, one after the other.
    let mut reports = vec![Vec::new(); ways.len() * VARIANTS.len()];
    for _ in 0..effort.rounds() {
        for index in lab::shuffled(VARIANTS.len()) {
            let _attachment = lab::attach(&cgroup, VARIANTS[index].1);
            for (way, (_, address, netns)) in ways.iter().enumerate() {
                let place = Place::cgroup(&cgroup).on(&client);
                reports[way * VARIANTS.len() + index].push(exchange(place, address, netns.as_deref(), effort));
            }
        }
    }
    let measures: Vec<_> = ways
        .iter()
        .zip(reports.chunks(VARIANTS.len()))
        .flat_map(|((way, ..), reports)| (0..LOADS.len()).flat_map(move |load| measures(way, load, reports, effort)))
        .collect();
    let targets = judge(&measures);
    (measures, targets)
}

/// What each load cost, in the order of [`LOADS`].
fn exchange(place: Place<'_>, address: &str, netns: Option<&str>, effort: Effort) -> Vec<Value> {
    let (trips, chunks) = (effort.amount(ROUND_TRIPS).to_string(), effort.amount(CHUNKS).to_string());
    let mut arguments =
        vec!["exchange", "--server", address, "--connections", "1,50", "--round-trips", &trips, "--chunks", &chunks];
    arguments.extend(netns.iter().flat_map(|netns| ["--netns", netns]));
    let mut process = lab::load(place, &arguments);
    LOADS.iter().map(|_| lab::json(&mut process)).collect()
}

fn measures(way: &str, load: usize, reports: &[Vec<Vec<Value>>], effort: Effort) -> [Measure; 2] {
    let count = if load.is_multiple_of(2) { ROUND_TRIPS } else { CHUNKS };
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let count = effort.amount(count) as f64;
    let series = |value: &dyn Fn(&Value) -> f64| {
        VARIANTS
            .iter()
            .zip(reports)
            .map(|((name, _), rounds)| {
                ((*name).to_owned(), rounds.iter().map(|loads| value(&loads[load]["cost"])).collect())
            })
            .collect()
    };
    let rate = |clock: &str| series(&|cost| count * 1e9 / lab::number(&cost[clock]));
    [
        Measure::new(format!("{way}: {}", LOADS[load]), PER_PROCESSOR_SECOND, rate("cpu_ns")),
        Measure::new(format!("{way}: {}", LOADS[load]), "1/s", rate("wall_ns")),
    ]
}

fn judge(measures: &[Measure]) -> Vec<Target> {
    let rates = measures.iter().filter(|measure| measure.unit == PER_PROCESSOR_SECOND);
    rates.flat_map(|rate| LEAST.map(|(variant, least)| judged(rate, variant, least))).collect()
}

fn judged(rate: &Measure, variant: &str, least: f64) -> Target {
    let must = format!("{}: {variant} at least {least} of nothing", rate.what);
    Target::at_least(&must, least, rate.ratio(variant, BASE))
}
