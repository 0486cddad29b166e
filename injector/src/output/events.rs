//! The events that `attach` reports while it watches.

use std::{borrow::Cow, collections::BTreeMap, io, path::PathBuf, time::SystemTime};

use injector_common::scan::ScanTotals;
use serde::Serialize;

use super::{
    HopReport,
    flows::{keepalive, process},
    status::{FlowCounts, Parameters, list},
    stdout,
};
use crate::{
    attachment::{adopt::Report, watch::FlowChange},
    bpf::{Attached, stats::Counters},
    discovery,
    flow::Flow,
    hop::Hop,
    output::EventFormat,
    printable::{self, printable},
    units::{elapsed, exact},
};

/// One event. The serialised form has its kind under `event`.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    /// Programs are attached.
    Attached {
        /// Name of the attachment.
        attachment: &'a str,
        /// cgroup, relative to the mount.
        cgroup: Cow<'a, str>,
        /// Kernel's id of the cgroup.
        cgroup_id: u64,
        /// Where it is pinned.
        pins: PathBuf,
        /// The parameters.
        #[serde(flatten)]
        parameters: Parameters,
    },
    /// Connections that were open before were adopted.
    Adopted {
        /// Name of the attachment.
        attachment: &'a str,
        /// Their outcomes.
        #[serde(flatten)]
        report: &'a Report,
    },
    /// Discovery found other hops than the applied ones; they are applied now.
    Discovered {
        /// Name of the attachment.
        attachment: &'a str,
        /// What differs.
        changes: &'a [discovery::HopChange],
        /// All hops that are applied.
        hops: Vec<HopReport>,
    },
    /// A flow is at risk: close to its idle timeout.
    AtRisk {
        /// The flow.
        flow: &'a Flow,
    },
    /// A flow is overdue: it passed its idle timeout.
    Overdue {
        /// The flow.
        flow: &'a Flow,
    },
    /// A flow's peer no longer answers.
    Stalled {
        /// The flow.
        flow: &'a Flow,
    },
    /// A flow recovered.
    Recovered {
        /// The flow.
        flow: &'a Flow,
    },
    /// A flow that was reported before was closed.
    Closed {
        /// The flow, as it was last seen.
        flow: &'a Flow,
    },
    /// The end.
    Summary(Summary),
}

/// Totals of the watch.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// How long it was watched.
    pub watched_ms: u64,
    /// Whether the programs stay attached.
    pub attached: bool,
    /// Sockets by outcome.
    pub sockets: BTreeMap<&'static str, u64>,
    /// Flows by status at the end.
    pub flows: FlowCounts,
}

impl<'a> Event<'a> {
    /// The start of a watch.
    pub(crate) fn attached(attached: &'a Attached) -> Self {
        let description = attached.description();
        Self::Attached {
            attachment: attached.name(),
            cgroup: String::from_utf8_lossy(description.path()),
            cgroup_id: description.cgroup_id,
            pins: attached.pins().path(),
            parameters: Parameters::of(attached),
        }
    }

    /// Hops that are applied now.
    pub(crate) fn discovered(name: &'a str, hops: &[Hop], changes: &'a [discovery::HopChange]) -> Self {
        Self::Discovered { attachment: name, changes, hops: hops.iter().map(HopReport::of).collect() }
    }

    /// A change of a flow.
    pub(crate) const fn change(change: FlowChange, flow: &'a Flow) -> Self {
        match change {
            FlowChange::AtRisk => Self::AtRisk { flow },
            FlowChange::Overdue => Self::Overdue { flow },
            FlowChange::Stalled => Self::Stalled { flow },
            FlowChange::Recovered => Self::Recovered { flow },
            FlowChange::Closed => Self::Closed { flow },
        }
    }
}

impl Summary {
    /// From the last scan and the counters.
    pub(crate) fn new(watched_ms: u64, attached: bool, counters: &Counters, totals: &ScanTotals) -> Self {
        Self { watched_ms, attached, sockets: counters.totals().collect(), flows: FlowCounts::of(totals) }
    }
}

/// Writes events to stdout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventWriter {
    format: EventFormat,
}

impl EventWriter {
    /// A writer of `format`.
    pub(crate) const fn new(format: EventFormat) -> Self {
        Self { format }
    }

    /// Writes one event.
    pub(crate) fn write(self, event: &Event<'_>) -> anyhow::Result<()> {
        Ok(stdout::line(&self.text(event)?)?)
    }

    /// The line of an event.
    pub(super) fn text(self, event: &Event<'_>) -> io::Result<String> {
        Ok(match self.format {
            EventFormat::Jsonl => printable::json(&serde_json::to_string(event)?),
            EventFormat::Table => printable(&text(event)),
        })
    }
}

fn text(event: &Event<'_>) -> String {
    match event {
        Event::Attached { attachment: name, cgroup, parameters, .. } => {
            format!("attached {name} to cgroup {cgroup}: {parameters}")
        }
        Event::Adopted { attachment: name, report } => format!("adopted into {name}: {report}"),
        Event::Discovered { attachment: name, changes, .. } => {
            let changes: Vec<_> = changes.iter().map(ToString::to_string).collect();
            format!("discovered for {name}: {}", changes.join("; "))
        }
        Event::AtRisk { flow } => flow_line("at risk", flow),
        Event::Overdue { flow } => flow_line("overdue", flow),
        Event::Stalled { flow } => flow_line("stalled", flow),
        Event::Recovered { flow } => flow_line("recovered", flow),
        Event::Closed { flow } => flow_line("closed", flow),
        Event::Summary(summary) => summary_text(summary),
    }
}

/// `2026-01-01T00:00:00Z  at risk  10.0.0.1:40000 -> 10.0.9.7:5432  idle 280s of 350s, ...`
fn flow_line(what: &str, flow: &Flow) -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now());
    let arrow = if flow.direction == "active" { "->" } else { "<-" };
    let idle = elapsed(flow.idle_ms);
    let limit = flow.limit_ms.map_or_else(|| "-".to_owned(), |ms| exact(std::time::Duration::from_millis(ms)));
    let reason = flow.reason.as_ref().map(|reason| format!(", {reason}")).unwrap_or_default();
    format!(
        "{now}  {what:9}  {} {arrow} {}  idle {idle} of {limit}, keepalive {} ({}), {}{reason}",
        flow.local,
        flow.peer,
        keepalive(flow),
        flow.keepalive.owner,
        process(flow),
    )
}

fn summary_text(summary: &Summary) -> String {
    let end = if summary.attached { "programs stay attached" } else { "detached" };
    format!(
        "{end} after {}: sockets: {}; flows: {}",
        elapsed(summary.watched_ms),
        list(summary.sockets.iter().map(|(&name, &count)| (name, count))),
        list(summary.flows.by_status()),
    )
}

#[cfg(test)]
mod tests {
    use injector_common::stats::{COUNTERS, INJECTED, PASSIVE, outcome_index};

    use super::*;

    #[test]
    fn a_summary_names_what_there_was() {
        let mut values = vec![0; COUNTERS as usize];
        values[outcome_index(PASSIVE, INJECTED) as usize] = 3;
        let mut totals = ScanTotals::EMPTY;
        totals.by_status[0] = 2;
        let summary = Summary::new(61_000, false, &Counters::new(values), &totals);
        let expected = "detached after 61s: sockets: 3 injected; flows: 2 protected";
        assert_eq!(summary_text(&summary), expected);
        let empty = Summary::new(500, true, &Counters::new(vec![]), &ScanTotals::EMPTY);
        assert_eq!(summary_text(&empty), "programs stay attached after 0.5s: sockets: none; flows: none");
    }
}
