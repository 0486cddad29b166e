//! Which connections survive a middlebox that drops idle ones.

use std::{thread, time::Duration};

use injector_tests::{Cgroup, Expiry, Injector, Middlebox, Place, Process};

use crate::{
    lab::{self, Effort},
    report::{Measure, Target},
};

pub(crate) const ABOUT: &str = "Idle connections through a router that drops them after 12 s (350 s in small), asked after 40 s whether they are \
     alive. Meanwhile the router loses some of the packets of either direction before it counts them as traffic. injector is given the \
     limit and nothing else. libkeepalive is given an idle time of 10 s (as 300 s is below 350), once alone and once with an interval of 10 s; The system's default \
     is tcp_keepalive_time=10 for all of them, which alone does as little as nothing at all. Each sample is a share of some of the connections.";

const LIMIT: Duration = Duration::from_secs(12);
const IDLE: Duration = Duration::from_secs(40);
const LOSSES: [u32; 3] = [0, 10, 30];
const PORT: u16 = 7777;
const OURS: &str = "injector";
/// Connections of one sample.
const GROUP: usize = 10;

/// Names, and what libkeepalive is given where it is loaded.
const OTHERS: [(&str, Option<&[&str]>); 3] = [
    ("sysctl alone", None),
    ("libkeepalive, idle 10 s", Some(&["KEEPIDLE=10"])),
    ("libkeepalive, idle 10 s, interval 10 s", Some(&["KEEPIDLE=10", "KEEPINTVL=10"])),
];

pub(crate) fn run(effort: Effort) -> (Vec<Measure>, Vec<Target>) {
    let measures: Vec<_> = LOSSES.iter().map(|loss| with_loss(*loss, effort)).collect();
    let targets = measures.iter().zip(LOSSES).map(|(measure, loss)| judge(measure, loss)).collect();
    (measures, targets)
}

fn with_loss(loss: u32, effort: Effort) -> Measure {
    let lab = Middlebox::new(Expiry::Drop, LIMIT);
    lab.client().sysctl("net.ipv4.tcp_keepalive_time", "10");
    let (inside, outside) = (Cgroup::new("rescued"), Cgroup::new("lost"));
    let attachment = Injector::find().attach(&inside, &["--timeout", "12s"]);
    let mut server = lab::load(Place::netns(lab.server()), &["echo", "--port", &PORT.to_string()]);
    lab::line(&mut server);
    let (target, count) = (format!("{}:{PORT}", Middlebox::SERVER_V4), GROUP.to_string());
    let arguments = ["ask", "--server", &target, "--connections", &count];
    let (treated, untreated) = (Place::cgroup(&inside).on(lab.client()), Place::cgroup(&outside).on(lab.client()));
    let start = |values: Option<&[&str]>| match values {
        Some(values) => lab::preloaded(untreated, values, &arguments),
        None => lab::load(untreated, &arguments),
    };
    let mut groups: Vec<(String, Vec<Process>)> = vec![(OURS.to_owned(), Vec::new())];
    groups.extend(OTHERS.map(|(name, _)| (name.to_owned(), Vec::new())));
    for _ in 0..effort.rounds() {
        groups[0].1.push(lab::load(treated, &arguments));
        for ((_, processes), (_, values)) in groups[1..].iter_mut().zip(OTHERS) {
            processes.push(start(values));
        }
    }
    for process in groups.iter_mut().flat_map(|(_, processes)| processes) {
        lab::line(process);
    }
    lab.lose(loss);
    thread::sleep(IDLE);
    lab.lose(0);
    for process in groups.iter_mut().flat_map(|(_, processes)| processes) {
        process.send_line("alive?");
    }
    let share = |process: &mut Process| {
        let alive: f64 = lab::line(process).parse().expect("a number of connections");
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let all = GROUP as f64;
        alive * 100.0 / all
    };
    let samples: Vec<(String, Vec<f64>)> =
        groups.iter_mut().map(|(name, processes)| (name.clone(), processes.iter_mut().map(share).collect())).collect();
    drop(attachment);
    Measure::new(format!("alive after three times the limit, {loss}% loss"), "%", samples)
}

/// Most groups are all alive or all dead, so that medians show little: means.
fn judge(measure: &Measure, loss: u32) -> Target {
    let mean = |name: &str| {
        let samples = &measure.of(name).samples;
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let count = samples.len() as f64;
        samples.iter().sum::<f64>() / count
    };
    let others = OTHERS.iter().map(|(name, _)| mean(name)).fold(0.0, f64::max);
    let ours = mean(OURS);
    let (must, met) = if loss == 0 {
        ("all alive without loss".to_owned(), ours >= 100.0)
    } else {
        (format!("more alive than with any other, {loss}% loss"), ours > others)
    };
    Target { must, found: format!("{ours:.1}%; the best other {others:.1}%"), met }
}
