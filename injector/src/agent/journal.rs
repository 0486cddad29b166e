//! The agent's log: what changed, and why.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use injector_common::record::FlowSample;

use super::limiter::Limiter;
use crate::{
    attachment::watch::Change,
    discovery,
    flow::{Flow, Names, Origin},
    units::elapsed,
};

/// A complaint that stays the same is told again after this time.
const AGAIN: Duration = Duration::from_secs(600);

/// Writes the log, and no more of it than anybody reads.
#[derive(Debug)]
pub(super) struct Journal {
    names: Names,
    changes: HashMap<Change, Limiter>,
    discovered: Limiter,
    complaints: HashMap<String, (String, Instant)>,
    dropped: u64,
}

impl Journal {
    /// Shows flows by these names.
    pub(super) fn new(names: Names) -> Self {
        let (changes, discovered) = (HashMap::new(), Limiter::default());
        Self { names, changes, discovered, complaints: HashMap::new(), dropped: 0 }
    }

    /// Tells what is new about flows.
    pub(super) fn changes(&mut self, origin: &Origin, changes: &[(Change, FlowSample)]) {
        let now = Instant::now();
        for (change, limiter) in &mut self.changes {
            if let Some(held) = limiter.held_back(now) {
                tracing::warn!(event = name(*change), held, "held back lines that say the same of other flows");
            }
        }
        self.names.refresh();
        for (change, sample) in changes {
            if self.changes.entry(*change).or_default().admits(now) {
                tell(*change, &self.names.flow(origin, sample, None));
            } else {
                self.dropped += 1;
            }
        }
    }

    /// Tells which hops are in force as the cloud named them.
    pub(super) fn discovered(&mut self, changes: &[discovery::Change]) {
        for change in changes {
            if self.admits_discovered() {
                tracing::info!(event = "discovered", "discovered: {change}");
            }
        }
    }

    /// Tells what the cloud did not say.
    pub(super) fn not_known(&mut self, notes: Vec<String>) {
        for note in notes {
            if self.admits_discovered() {
                tracing::warn!(event = "not_discovered", "{note}");
            }
        }
    }

    fn admits_discovered(&mut self) -> bool {
        let now = Instant::now();
        if let Some(held) = self.discovered.held_back(now) {
            tracing::warn!(event = "discovered", held, "held back lines about what was discovered");
        }
        let admits = self.discovered.admits(now);
        self.dropped += u64::from(!admits);
        admits
    }

    /// Tells what is wrong with a thing, unless that was said already.
    pub(super) fn complain(&mut self, about: &str, error: &anyhow::Error) {
        let (now, text) = (Instant::now(), format!("{error:#}"));
        let is_known = |(known, since): &(String, Instant)| *known == text && now.duration_since(*since) < AGAIN;
        if self.complaints.get(about).is_some_and(is_known) {
            self.dropped += 1;
            return;
        }
        tracing::error!(about, "{text}");
        self.complaints.insert(about.to_owned(), (text, now));
    }

    /// What was wrong is no more.
    pub(super) fn is_well(&mut self, about: &str) {
        self.complaints.remove(about);
    }

    /// Keeps complaints about what is still there.
    pub(super) fn forget_all_but(&mut self, is_there: impl Fn(&str) -> bool) {
        self.complaints.retain(|about, _| is_there(about));
    }

    /// Lines that were held back.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }
}

fn tell(change: Change, flow: &Flow) {
    // Processes choose their own names, control characters included.
    let process = flow.process.as_ref().map(|process| format!("{} {:?}", process.pid, process.name));
    let pod = flow.pod.as_ref().map(|pod| format!("{}/{}", pod.namespace, pod.name));
    let (process, pod) = (process.as_deref(), pod.as_deref());
    let container = flow.pod.as_ref().and_then(|pod| pod.container.as_deref());
    let (reason, cgroup) = (flow.reason.as_deref(), flow.cgroup.as_deref());
    let (local, peer, owner) = (flow.local, flow.peer, flow.keepalive.owner.as_ref());
    let (idle, limit) = (elapsed(flow.idle_ms), elapsed(flow.limit_ms));
    macro_rules! told {
        ($level:ident, $text:literal) => {
            tracing::$level!(
                event = name(change), %local, %peer, direction = %flow.direction, idle, limit, hop = flow.hop,
                keepalive = owner, reason, pod, container, process, cgroup, attachment = flow.attachment, $text
            )
        };
    }
    match change {
        Change::AtRisk => told!(warn, "a flow comes near its limit"),
        Change::Overdue => told!(warn, "a flow passed its limit: expect it to be dead"),
        Change::Stalled => told!(warn, "a flow's peer no longer answers"),
        Change::Recovered => told!(info, "a flow is well again"),
        Change::Closed => told!(info, "a flow that was told about is gone"),
    }
}

const fn name(change: Change) -> &'static str {
    match change {
        Change::AtRisk => "at_risk",
        Change::Overdue => "overdue",
        Change::Stalled => "stalled",
        Change::Recovered => "recovered",
        Change::Closed => "closed",
    }
}
