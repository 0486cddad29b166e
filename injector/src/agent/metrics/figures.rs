//! The numbers behind the metrics.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, SystemTime},
};

use injector_common::{record::FlowSample, scan::ScanTotals};

use super::AtRisk;
use crate::{attachment::watch::FlowChange, bpf::stats::Counters};

/// Hops with a series of their own. A configuration rarely has more than five.
const MAX_LIMITS: usize = 64;
/// Network interfaces with a series of their own. EC2 instances have 15 at most, unless they have several cards.
const MAX_INTERFACES: usize = 64;

/// What a scan over all attachments saw.
#[derive(Clone, Debug)]
pub struct Scan {
    /// When it ended; for attachments that could not be scanned, the last time that they could.
    pub at: SystemTime,
    /// Sums over all flows, with what the last scan saw where this one failed.
    pub totals: ScanTotals,
    /// Flows that it visited.
    pub flows: u64,
    /// Flows at risk, overdue or stalled by workload.
    pub at_risk: AtRisk,
}

/// Idle timeout of a hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HopLimit {
    /// The hop.
    pub hop: String,
    /// Where its timeout is known from, such as `config` or `default`.
    pub source: String,
    /// The timeout.
    pub timeout: Duration,
}

/// Whether a configuration was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// Applied at this moment.
    Taken(SystemTime),
    /// Rejected: the previous one stays applied.
    Refused,
}

/// Memory of the kernel that is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Of maps, in bytes.
    pub maps_bytes: u64,
    /// Of the flows' records in their sockets' storage, in bytes.
    pub storage_bytes: u64,
}

/// The host's connection tracking (`nf_conntrack_count` and `nf_conntrack_max`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConntrackUse {
    /// Entries in use.
    pub entries: u64,
    /// Entries there is room for.
    pub limit: u64,
}

/// Connection tracking of an EC2 network interface, from the ENA driver's counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnaAllowance {
    /// The interface, such as `eth0`.
    pub interface: String,
    /// Connections that can still be tracked (`conntrack_allowance_available`); newer drivers have it.
    pub available: Option<u64>,
    /// Packets dropped because no more connections could be tracked (`conntrack_allowance_exceeded`).
    pub exceeded: u64,
}

/// All numbers. Unknown ones are `None`, and not exported.
#[derive(Debug, Default)]
pub struct Figures {
    /// Counters of all attachments, those that are gone included.
    pub(super) sockets: Counters,
    /// What was read last, by attachment.
    counters: HashMap<String, Counters>,
    pub(super) scan: Option<ScanTotals>,
    pub(super) scanned_at: Option<SystemTime>,
    pub(super) scanned_flows: u64,
    pub(super) at_risk: Vec<((String, String), u64)>,
    /// Connections without a record, by reason, once that was looked after.
    pub(super) uncovered: Option<BTreeMap<&'static str, u64>>,
    pub(super) limits: Vec<HopLimit>,
    pub(super) interfaces: Vec<EnaAllowance>,
    pub(super) last_reload: Option<Reload>,
    pub(super) reloaded_at: Option<SystemTime>,
    pub(super) reloads_taken: u64,
    pub(super) reloads_refused: u64,
    /// Discovery calls that failed, by call.
    pub(super) discovery_failures: BTreeMap<&'static str, u64>,
    /// Cgroups that the programs are attached to.
    pub attached_cgroups: u64,
    /// Scans of an attachment that failed.
    pub scan_failures: u64,
    /// Flows seen to pass their limit.
    pub flows_expired: u64,
    /// Flows that ended while at risk, overdue or stalled.
    pub flows_lost: u64,
    /// Log lines that were suppressed.
    pub log_lines_dropped: u64,
    /// Memory in the kernel.
    pub memory: Option<Memory>,
    /// The host's connection tracking; `None` where it has none.
    pub conntrack: Option<ConntrackUse>,
}

impl Figures {
    /// Takes a reading of an attachment's counters. The sums go on where an attachment ends or starts again, so that
    /// they never go back.
    pub fn counted(&mut self, attachment: &str, now: Counters) {
        self.sockets.advance(self.counters.get(attachment), &now);
        self.counters.insert(attachment.to_owned(), now);
    }

    /// Drops an attachment that is gone. Its counts stay in the sums.
    pub fn detached(&mut self, attachment: &str) {
        self.counters.remove(attachment);
    }

    /// Takes what changed about flows.
    pub(in crate::agent) fn changed(&mut self, changes: &[(FlowChange, FlowSample)]) {
        for (change, _) in changes {
            match change {
                FlowChange::Overdue => self.flows_expired += 1,
                FlowChange::Closed => self.flows_lost += 1,
                FlowChange::AtRisk | FlowChange::Stalled | FlowChange::Recovered => {}
            }
        }
    }

    pub(super) const fn watched(&mut self, flows: u64) {
        self.scanned_flows += flows;
    }

    pub(super) fn scanned(&mut self, scan: Scan) {
        self.watched(scan.flows);
        self.scanned_at = Some(scan.at);
        self.at_risk = scan.at_risk.into_series();
        self.scan = Some(scan.totals);
    }

    /// Takes the result of reading the configuration again.
    pub const fn reloaded(&mut self, result: Reload) {
        match result {
            Reload::Taken(at) => {
                self.reloads_taken += 1;
                self.reloaded_at = Some(at);
            }
            Reload::Refused => self.reloads_refused += 1,
        }
        self.last_reload = Some(result);
    }

    /// Takes how many connections have no record, by every reason that there is.
    pub fn uncovered(&mut self, by_reason: BTreeMap<&'static str, u64>) {
        self.uncovered = Some(by_reason);
    }

    /// Takes the idle timeouts that are applied.
    pub fn limits(&mut self, mut limits: Vec<HopLimit>) {
        limits.truncate(MAX_LIMITS);
        self.limits = limits;
    }

    /// Takes whether the cloud answered the last time, by call.
    pub fn asked(&mut self, calls: impl IntoIterator<Item = (&'static str, bool)>) {
        for (call, is_answered) in calls {
            *self.discovery_failures.entry(call).or_default() += u64::from(!is_answered);
        }
    }

    /// Takes the counters of the network interfaces.
    pub fn interfaces(&mut self, mut interfaces: Vec<EnaAllowance>) {
        interfaces.truncate(MAX_INTERFACES);
        self.interfaces = interfaces;
    }
}

#[cfg(test)]
mod tests {
    use injector_common::stats::{COUNTERS, UNREADABLE};

    use super::*;

    fn unreadable(count: u64) -> Counters {
        let mut values = vec![0; COUNTERS as usize];
        values[UNREADABLE as usize] = count;
        Counters::new(values)
    }

    #[test]
    fn sums_never_go_back() {
        let mut figures = Figures::default();
        for (attachment, reading, expected) in
            [("a", 3, 3), ("b", 10, 13), ("a", 5, 15), ("b", 10, 15), ("a", 1, 16), ("b", 12, 18)]
        {
            figures.counted(attachment, unreadable(reading));
            assert_eq!(figures.sockets.unreadable(), expected, "{attachment} {reading}");
        }
        figures.detached("b");
        assert_eq!((figures.sockets.unreadable(), figures.counters.len()), (18, 1));
    }

    #[test]
    fn a_refused_configuration_leaves_the_time_of_the_last_good_one() {
        let mut figures = Figures::default();
        figures.reloaded(Reload::Taken(SystemTime::UNIX_EPOCH));
        figures.reloaded(Reload::Refused);
        assert_eq!(figures.last_reload, Some(Reload::Refused));
        assert_eq!(figures.reloaded_at, Some(SystemTime::UNIX_EPOCH));
        assert_eq!((figures.reloads_taken, figures.reloads_refused), (1, 1));
    }
}
