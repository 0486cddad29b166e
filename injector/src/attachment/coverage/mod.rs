//! TCP connections of a cgroup without a record.
//!
//! Found from the other side: by what the kernel lists of sockets and their
//! cgroups, and by what the cgroup's processes hold, less what the attachment
//! has records of.

mod missing;
mod reason;

use std::collections::BTreeMap;

use injector_common::scan::ScanTotals;
pub(crate) use missing::{Candidates, Snapshot};
pub(crate) use reason::Reason;
use serde::Serialize;

use crate::bpf::Attached;

/// How far an attachment covers the connections of its cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Flows seen when their connection was established.
    pub established: u64,
    /// Adopted flows, which were open before.
    pub adopted: u64,
    /// Connections without a record, by reason. Those that a policy leaves alone are not among them.
    pub uncovered: BTreeMap<Reason, u64>,
    /// Processes whose sockets we may not see.
    pub hidden_processes: u64,
}

impl Coverage {
    /// Compares what `attached` knows with what there is.
    pub fn of(attached: &mut Attached, totals: &ScanTotals) -> anyhow::Result<Self> {
        // Connections are listed before the records: what is opened meanwhile
        // is not asked for.
        let candidates = Candidates::of(attached, &mut Snapshot::take())?;
        let still = if candidates.are_none() { Snapshot::default() } else { Snapshot::take() };
        Ok(Self::new(totals, &candidates, &still))
    }

    /// What is missing of `candidates`: those that were closed by the time of
    /// `later` are not.
    pub fn new(totals: &ScanTotals, candidates: &Candidates, later: &Snapshot) -> Self {
        let uncovered = candidates.still_there(later);
        Self { uncovered, hidden_processes: candidates.hidden_processes, ..Self::default() }.at(totals)
    }

    /// The same, with flows as they are counted by `totals`.
    #[must_use]
    pub fn at(&self, totals: &ScanTotals) -> Self {
        let established = totals.flows().saturating_sub(totals.adopted);
        Self { established, adopted: totals.adopted, ..self.clone() }
    }

    /// How many connections are not covered.
    pub fn uncovered(&self) -> u64 {
        self.uncovered.values().sum()
    }

    /// The connections that are not covered, in a sentence; `None` where all are.
    pub fn gap(&self, name: &str) -> Option<String> {
        let mut parts: Vec<_> = self.uncovered.iter().map(|(reason, count)| reason.sentence(*count, name)).collect();
        if self.hidden_processes > 0 {
            parts.push(format!(
                "{} processes can't be inspected (needs CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH)",
                self.hidden_processes
            ));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_reported() {
        assert_eq!(Coverage::default().gap("x"), None);
        let coverage = Coverage {
            uncovered: [(Reason::BeforeAttach, 2), (Reason::OtherCgroup, 1), (Reason::Mptcp, 4)].into(),
            hidden_processes: 3,
            ..Coverage::default()
        };
        let gap = coverage.gap("x").expect("there is one");
        for part in ["2 connections opened before", "adopt --name x", "1 connection ", "4 MPTCP", "3 processes"] {
            assert!(gap.contains(part), "{gap}");
        }
        assert_eq!(coverage.uncovered(), 7);
    }
}
