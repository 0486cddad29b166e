//! Whether idle times are right, and warnings come in time.

use std::{
    collections::HashMap,
    thread,
    time::{Duration, Instant},
};

use injector_tests::{Attachment, Cgroup, Injector, Netns, Place};
use serde_json::Value;

use crate::{
    capture::{Capture, Ends},
    lab::{self, Effort},
    report::{Measure, Target, figure},
    statistics::Spread,
};

pub(crate) const ABOUT: &str = "Connections over loopback, each with pauses of random length between what either end says; keepalive is switched off again on \
     all of them. tcpdump captures every packet. The error is the difference between the time from the opening to the last packet as \
     `flows` reports it and as captured: no clock of ours takes part. Flows with a packet while `flows` ran are omitted. Afterwards \
     all stay idle; the lead is the time from the moment a watcher reads the first warning of a flow to the end of its limit.";

const CONNECTIONS: usize = 1000;
const PAUSE_MS: u64 = 4000;
const LIMIT: Duration = Duration::from_secs(10);
const TALK: Duration = Duration::from_secs(20);
const LOOKS: usize = 5;
/// In both modes on the same flows, each by an attachment of its own.
const MODES: [&str; 2] = ["sockets", "packets"];

pub(crate) fn run(effort: Effort) -> (Vec<Measure>, Vec<Target>) {
    let (netns, cgroup, injector) = (Netns::new("accuracy"), Cgroup::new("accuracy"), Injector::find());
    netns.sysctl("net.ipv4.ip_local_port_range", "1024 65535");
    let capture = Capture::start(&netns);
    let mut attachments = MODES.map(|mode| {
        let name = format!("{}-{mode}", cgroup.attachment_name());
        let own = ["--timeout", "10s", "--idle", "8s", "--on-conflict", "respect"];
        injector.attach(&cgroup, &[&["--name", &name, "--track", mode, "-o", "jsonl"], &own[..]].concat())
    });
    let (connections, run_ms) = (effort.amount(CONNECTIONS).to_string(), TALK.as_millis().to_string());
    let pause_ms = PAUSE_MS.to_string();
    let arguments = ["chatter", "--connections", &connections, "--pause-ms", &pause_ms, "--run-ms", &run_ms];
    let mut chatter =
        lab::load(Place::cgroup(&cgroup).on(&netns), &[&arguments[..], &["--without-keepalive"]].concat());
    lab::line(&mut chatter);
    let mut looks: Vec<(usize, Look)> = Vec::new();
    for _ in 0..LOOKS {
        thread::sleep(TALK / u32::try_from(LOOKS + 1).expect("a small number"));
        looks.extend(attachments.iter().enumerate().map(|(mode, attachment)| (mode, Look::at(attachment))));
    }
    lab::line(&mut chatter);
    // Side by side: a line counts from the moment it is read.
    let warnings = thread::scope(|scope| {
        let readers = attachments.each_mut().map(|attachment| scope.spawn(|| warnings(attachment)));
        readers.map(|reader| reader.join().expect("a reader does not panic"))
    });
    let packets = capture.stop();
    judge(&looks, &warnings, &packets)
}

/// What `flows` reported, and when.
struct Look {
    from: f64,
    to: f64,
    flows: Vec<Value>,
}

impl Look {
    fn at(attachment: &Attachment) -> Self {
        let from = now();
        let output = Injector::find().run(&["flows", "--name", attachment.name(), "-o", "json"]).ok();
        Self { from, to: now(), flows: output.json()["flows"].as_array().cloned().unwrap_or_default() }
    }
}

/// Seconds since 1970, which is what captures use.
fn now() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("it is after 1970").as_secs_f64()
}

fn ends(flow: &Value) -> Ends {
    let port = |key: &str| {
        let address = flow[key].as_str().expect("an address");
        address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    };
    Ends::of(port("local"), port("peer"))
}

/// When each connection was warned of, until all idle ones are lost.
fn warnings(attachment: &mut Attachment) -> HashMap<Ends, Vec<f64>> {
    let mut warnings: HashMap<Ends, Vec<f64>> = HashMap::new();
    let started = Instant::now();
    while started.elapsed() < LIMIT {
        let Some(event) = attachment.event(Duration::from_millis(500)) else { continue };
        if event["event"] == "at_risk" {
            warnings.entry(ends(&event["flow"])).or_default().push(now());
        }
    }
    warnings
}

fn judge(
    looks: &[(usize, Look)],
    warnings: &[HashMap<Ends, Vec<f64>>],
    packets: &HashMap<Ends, Vec<f64>>,
) -> (Vec<Measure>, Vec<Target>) {
    let mut targets = Vec::new();
    let mut errors: Vec<(String, Vec<f64>)> = Vec::new();
    let mut leads: Vec<(String, Vec<f64>)> = Vec::new();
    for (mode, name) in MODES.iter().enumerate() {
        let of_mode = looks.iter().filter(|(of, _)| *of == mode);
        let reported: Vec<f64> =
            of_mode.flat_map(|(_, look)| look.flows.iter().filter_map(|flow| error_ms(look, flow, packets))).collect();
        let magnitudes: Vec<f64> = reported.iter().map(|error| error.abs()).collect();
        targets.push(Target::at_most(&format!("{name}: median error below 20 ms"), 20.0, Spread::of(&magnitudes)));
        errors.push(((*name).to_owned(), reported));
        let lead: Vec<f64> = packets.iter().map(|(ends, times)| lead_s(times, warnings[mode].get(ends))).collect();
        let least = lead.iter().copied().fold(f64::INFINITY, f64::min);
        let found = format!("the latest {} s before the end, {} connections", figure(least), lead.len());
        targets.push(Target { must: format!("{name}: no warning after the end"), found, met: least > 0.0 });
        leads.push(((*name).to_owned(), lead));
    }
    let measures = vec![
        Measure::new("error of the idle time (more than true is positive)", "ms", errors),
        Measure::new(format!("lead of the first warning before a limit of {} s", LIMIT.as_secs()), "s", leads),
    ];
    (measures, targets)
}

/// `None` where a packet passed while the flows were looked at.
fn error_ms(look: &Look, flow: &Value, packets: &HashMap<Ends, Vec<f64>>) -> Option<f64> {
    let times = packets.get(&ends(flow))?;
    if times.iter().any(|time| (look.from..look.to).contains(time)) {
        return None;
    }
    let last = times.iter().rev().find(|time| **time < look.from)?;
    // The third packet of the handshake is the one that both ends count from.
    let opened = times.get(2)?;
    let reported_ms = lab::number(&flow["age_ms"]) - lab::number(&flow["idle_ms"]);
    Some((last - opened) * 1000.0 - reported_ms)
}

/// From the first warning after the last packet to the end of the limit; a connection without any counts as late.
fn lead_s(times: &[f64], warnings: Option<&Vec<f64>>) -> f64 {
    let last = times.last().copied().expect("a connection has packets");
    let first = warnings.into_iter().flatten().find(|warned| **warned > last);
    first.map_or(-1.0, |warned| last + LIMIT.as_secs_f64() - warned)
}
