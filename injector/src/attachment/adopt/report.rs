//! The result of adoption.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
};

use injector_common::stats::OUTCOME_NAMES;
use serde::Serialize;

use super::{
    connection::Treated,
    options::{OVERRULED, RefusedOption},
};

/// How many processes a text names before it only counts them.
const NAMED: usize = 5;

/// The outcomes of sockets that were open before.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Processes that were looked through.
    pub processes: u64,
    /// Processes that ended meanwhile. Their sockets are closed, or held by other processes as well.
    pub ended: u64,
    /// Processes whose sockets we may not see: not covered.
    pub denied: Vec<Denied>,
    /// Connections by outcome.
    pub flows: BTreeMap<&'static str, u64>,
    /// Connections that had a record already.
    pub known: u64,
    /// Listeners by outcome.
    pub listeners: BTreeMap<&'static str, u64>,
    /// Multipath TCP sockets by outcome: they are protected, and not watched.
    pub mptcp: BTreeMap<&'static str, u64>,
    /// Options that were refused, with their errno, or that another program on
    /// the cgroup changed.
    pub refused: BTreeMap<String, u64>,
}

/// A process that injector may not inspect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Denied {
    /// Its id; 0 where it is not visible in our namespace.
    pub pid: i32,
    /// Its name.
    pub name: String,
    /// Why.
    pub why: String,
}

impl Denied {
    /// A process of another process-id namespace, which `cgroup.procs` lists
    /// as 0.
    pub(super) fn invisible() -> Self {
        let why = "it runs outside of injector's pid namespace".to_owned();
        Self { pid: 0, name: "?".to_owned(), why }
    }
}

impl Report {
    /// Fields on processes are those of the last pass.
    pub(super) fn begin_pass(&mut self) {
        self.processes = 0;
        self.denied.clear();
    }

    pub(super) fn flow(&mut self, treated: Treated) {
        match treated {
            Treated::Known => self.known += 1,
            Treated::Outcome(outcome) => *self.flows.entry(OUTCOME_NAMES[usize::from(outcome)]).or_default() += 1,
            Treated::Refused(refused) => {
                *self.flows.entry("failed").or_default() += 1;
                self.refused(refused);
            }
            Treated::Gone => {}
        }
    }

    fn refused(&mut self, refused: RefusedOption) {
        let RefusedOption { option, errno } = refused;
        let why = if errno == OVERRULED {
            format!("{option} replaced by another program")
        } else {
            format!("{option} errno {errno}")
        };
        *self.refused.entry(why).or_default() += 1;
    }

    pub(super) fn multipath(&mut self, treated: Treated) {
        match treated {
            Treated::Outcome(outcome) => *self.mptcp.entry(OUTCOME_NAMES[usize::from(outcome)]).or_default() += 1,
            Treated::Refused(refused) => {
                *self.mptcp.entry("failed").or_default() += 1;
                self.refused(refused);
            }
            Treated::Known | Treated::Gone => {}
        }
    }

    /// Connections that were treated.
    pub(super) fn treated(&self) -> u64 {
        self.flows.values().sum()
    }

    pub(super) fn listener(&mut self, treated: Treated) {
        match treated {
            Treated::Outcome(outcome) => *self.listeners.entry(OUTCOME_NAMES[usize::from(outcome)]).or_default() += 1,
            Treated::Refused(_) => *self.listeners.entry("failed").or_default() += 1,
            Treated::Known | Treated::Gone => {}
        }
    }

    /// What is not covered, in a sentence; `None` where everything is.
    pub(crate) fn gap(&self) -> Option<String> {
        if self.denied.is_empty() {
            return None;
        }
        let named: Vec<_> = self
            .denied
            .iter()
            .take(NAMED)
            .map(|denied| format!("{} {} ({})", denied.pid, denied.name, denied.why))
            .collect();
        let more = self.denied.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Some(format!(
            "not covered: connections that {} processes opened before: {}{more}; adopting them needs CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH and the host's pid namespace",
            self.denied.len(),
            named.join(", ")
        ))
    }
}

impl Display for Report {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {} processes", counts(&self.flows, "connections"), self.processes)?;
        if self.known > 0 {
            write!(formatter, ", {} known already", self.known)?;
        }
        write!(formatter, "; {}", counts(&self.listeners, "listeners"))?;
        if !self.mptcp.is_empty() {
            write!(formatter, "; {}, which are not watched", counts(&self.mptcp, "MPTCP sockets"))?;
        }
        if self.ended > 0 {
            write!(formatter, "; {} processes ended meanwhile", self.ended)?;
        }
        for (refused, count) in &self.refused {
            write!(formatter, "; refused {count} times: {refused}")?;
        }
        Ok(())
    }
}

/// `12 connections (10 injected, 2 respected)`.
fn counts(by_outcome: &BTreeMap<&'static str, u64>, what: &str) -> String {
    let total: u64 = by_outcome.values().sum();
    let parts: Vec<_> = by_outcome.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    if parts.is_empty() { format!("no {what}") } else { format!("{total} {what} ({})", parts.join(", ")) }
}

#[cfg(test)]
mod tests {
    use injector_common::stats::{INJECTED, RESPECTED};

    use super::*;
    use crate::attachment::adopt::options::RefusedOption;

    #[test]
    fn a_report_reads_well() {
        let mut report = Report { processes: 2, ..Report::default() };
        assert_eq!(report.to_string(), "no connections of 2 processes; no listeners");
        for outcome in [INJECTED, INJECTED, RESPECTED] {
            report.flow(Treated::Outcome(outcome));
        }
        report.flow(Treated::Known);
        report.flow(Treated::Refused(RefusedOption { option: "TCP_KEEPIDLE", errno: 22 }));
        report.listener(Treated::Outcome(INJECTED));
        assert_eq!(
            report.to_string(),
            "4 connections (1 failed, 2 injected, 1 respected) of 2 processes, 1 known already; \
             1 listeners (1 injected); refused 1 times: TCP_KEEPIDLE errno 22"
        );
    }

    #[test]
    fn what_is_not_covered_is_said() {
        let mut report = Report::default();
        assert_eq!(report.gap(), None);
        report.denied = (1..=7).map(|pid| Denied { pid, name: "x".to_owned(), why: "no".to_owned() }).collect();
        let gap = report.gap().expect("there is one");
        assert!(gap.contains("7 processes opened before: 1 x (no), ") && gap.contains("and 2 more"), "{gap}");
    }
}
