//! The agent's log: changes and failures.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use injector_common::record::FlowSample;

use super::{
    Shared,
    coverage::{self, News},
    limiter::Limiter,
    sink::Sink,
};
use crate::{
    attachment::{adopt::Report, coverage::Coverage, watch::FlowChange},
    bpf::{Attached, AttachmentState},
    config::OnExit,
    discovery,
    flow::{Flow, Names, Origin},
    hop::Hop,
    host::logging::AgentLog,
    units::elapsed,
};

/// A failure that stays the same is logged again after this time.
const AGAIN: Duration = Duration::from_secs(600);

/// Writes the log, with a limit on lines that repeat.
#[derive(Debug)]
pub(super) struct Journal {
    names: Names,
    log: AgentLog,
    shared: Arc<Shared>,
    changes: HashMap<FlowChange, Limiter>,
    discovered: Limiter,
    /// The last failure of each subject, and when it was logged.
    failures: HashMap<String, (String, Instant)>,
    held_back: u64,
    /// How many connections were reported as not covered.
    uncovered: u64,
}

impl Journal {
    /// Shows flows by these names.
    pub(super) fn new(names: Names, log: AgentLog, shared: Arc<Shared>) -> Self {
        let (changes, failures) = (HashMap::new(), HashMap::new());
        Self { names, log, shared, changes, discovered: Limiter::default(), failures, held_back: 0, uncovered: 0 }
    }

    fn admits_discovered(&mut self) -> bool {
        let now = Instant::now();
        if let Some(held) = self.discovered.held_back(now) {
            tracing::warn!(event = "discovered", held, "suppressed log lines about discovery");
        }
        let admits = self.discovered.admits(now);
        self.held_back += u64::from(!admits);
        admits
    }
}

impl Sink for Journal {
    fn attached(&mut self, attached: &Attached, notes: &[String]) {
        tracing::info!(attachment = attached.name(), cgroup = %attached.cgroup_path().display(), "attached");
        for note in notes {
            tracing::info!(attachment = attached.name(), "{note}");
        }
    }

    fn adopted(&mut self, name: &str, report: &Report) {
        tracing::info!(attachment = name, "adopted: {report}");
        if let Some(gap) = report.gap() {
            tracing::warn!(attachment = name, "{gap}");
        }
    }

    fn coverage(&mut self, coverages: &BTreeMap<String, Coverage>) {
        let now = coverages.values().map(Coverage::uncovered).sum();
        let (logged, uncovered) = coverage::news(self.uncovered, now);
        self.uncovered = uncovered;
        match logged {
            Some(News::Missing) => tracing::warn!(
                event = "not_covered",
                connections = now,
                "not covered: {}; `adopt = true` in the configuration adopts at each start",
                coverage::gaps(coverages)
            ),
            Some(News::AllCovered) => {
                tracing::info!(event = "not_covered", connections = 0, "all connections are covered");
            }
            None => {}
        }
    }

    fn changed(&mut self, origin: &Origin, changes: &[(FlowChange, FlowSample)]) {
        let now = Instant::now();
        for (change, limiter) in &mut self.changes {
            if let Some(held) = limiter.held_back(now) {
                tracing::warn!(event = name(*change), held, "suppressed log lines of the same kind for other flows");
            }
        }
        self.names.refresh();
        for (change, sample) in changes {
            if self.changes.entry(*change).or_default().admits(now) {
                log_change(*change, &self.names.flow(origin, sample, None));
            } else {
                self.held_back += 1;
            }
        }
    }

    fn discovered(&mut self, changes: &[discovery::HopChange], _hops: &[Hop]) {
        for change in changes {
            if self.admits_discovered() {
                tracing::info!(event = "discovered", "discovered: {change}");
            }
        }
    }

    fn undiscovered(&mut self, notes: Vec<String>) {
        for note in notes {
            if self.admits_discovered() {
                tracing::warn!(event = "not_discovered", "{note}");
            }
        }
    }

    fn repinned(&mut self, name: &str) {
        tracing::warn!(attachment = name, "its pins were removed by another process, pinned again");
    }

    fn failed(&mut self, about: &str, error: &anyhow::Error) {
        let (now, text) = (Instant::now(), format!("{error:#}"));
        let is_known = |(known, since): &(String, Instant)| *known == text && now.duration_since(*since) < AGAIN;
        if self.failures.get(about).is_some_and(is_known) {
            self.held_back += 1;
            return;
        }
        tracing::error!(about, "{text}");
        self.failures.insert(about.to_owned(), (text, now));
    }

    fn recovered(&mut self, about: &str) {
        self.failures.remove(about);
    }

    fn keep_failures(&mut self, is_there: &dyn Fn(&str) -> bool) {
        self.failures.retain(|about, _| is_there(about));
    }

    fn lost(&mut self, name: &str, state: AttachmentState) {
        match state {
            AttachmentState::Replaced => tracing::warn!(attachment = name, "another attachment took its name"),
            AttachmentState::Detached => tracing::warn!(
                attachment = name,
                "was detached by another process and is attached again: to detach it for good, change the configuration"
            ),
            _ => tracing::info!(attachment = name, "its cgroup was removed"),
        }
    }

    fn unwanted(&mut self, name: &str) {
        tracing::info!(attachment = name, "detached: the configuration no longer names its cgroup");
    }

    fn leaving(&mut self, attached: &mut Attached, _state: AttachmentState) {
        let counters = attached.counters();
        let mut figures = self.shared.metrics.figures();
        if let Ok(counters) = counters {
            figures.counted(attached.name(), counters);
        }
        figures.detached(attached.name());
    }

    fn ended(&mut self, attachments: usize, on_exit: OnExit) -> anyhow::Result<()> {
        let what = match on_exit {
            OnExit::Keep => "programs stay attached",
            OnExit::Detach => "programs detached",
        };
        tracing::info!(attachments, "shutting down: {what}");
        Ok(())
    }

    fn held_back(&self) -> u64 {
        self.held_back + self.log.dropped()
    }
}

fn log_change(change: FlowChange, flow: &Flow) {
    // Processes choose their own names, control characters included.
    let process = flow.process.as_ref().map(|process| format!("{} {:?}", process.pid, process.name));
    let pod = flow.pod.as_ref().map(|pod| format!("{}/{}", pod.namespace, pod.name));
    let (process, pod) = (process.as_deref(), pod.as_deref());
    let container = flow.pod.as_ref().and_then(|pod| pod.container.as_deref());
    let (reason, cgroup) = (flow.reason.as_deref(), flow.cgroup.as_deref());
    let (local, peer, owner) = (flow.local, flow.peer, flow.keepalive.owner.as_ref());
    let (idle, limit) = (elapsed(flow.idle_ms), flow.limit_ms.map(elapsed));
    macro_rules! log {
        ($level:ident, $text:literal) => {
            tracing::$level!(
                event = name(change), %local, %peer, direction = %flow.direction, idle, limit, hop = flow.hop,
                keepalive = owner, reason, pod, container, process, cgroup, attachment = flow.attachment, $text
            )
        };
    }
    match change {
        FlowChange::AtRisk => log!(warn, "flow at risk: close to its idle timeout"),
        FlowChange::Overdue => log!(warn, "flow overdue: passed its idle timeout, expect it to be dead"),
        FlowChange::Stalled => log!(warn, "flow stalled: its peer no longer answers"),
        FlowChange::Recovered => log!(info, "flow recovered"),
        FlowChange::Closed => log!(info, "reported flow closed"),
    }
}

const fn name(change: FlowChange) -> &'static str {
    match change {
        FlowChange::AtRisk => "at_risk",
        FlowChange::Overdue => "overdue",
        FlowChange::Stalled => "stalled",
        FlowChange::Recovered => "recovered",
        FlowChange::Closed => "closed",
    }
}
