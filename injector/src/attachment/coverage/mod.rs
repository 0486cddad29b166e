//! TCP connections of a cgroup's processes that no record exists for.
//!
//! Found from the other side: by what `/proc` shows of the processes and of
//! their network namespaces, less what the attachment has records of.

mod connections;

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use connections::{Connection, Way, connections};
use injector_common::{decision::LEAVE, scan::ScanTotals};
use serde::Serialize;

use crate::bpf::Attached;

/// How far an attachment covers the processes of its cgroup.
#[derive(Debug, Default, Serialize)]
pub struct Coverage {
    /// Flows seen when their connection was established.
    pub established: u64,
    /// Flows that were there before and were adopted.
    pub adopted: u64,
    /// Connections without a record, by reason. Those that a policy leaves alone are not among them.
    pub uncovered: HashMap<Reason, u64>,
    /// Processes whose sockets we may not see.
    pub hidden_processes: u64,
}

/// Why a connection has no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Its process is older than the attachment, so it may be, too.
    BeforeAttach,
    /// Its process is younger: its socket was made in another cgroup, or
    /// accepted by a listener that was.
    OtherCgroup,
}

impl Coverage {
    /// Compares what `attached` knows with what there is.
    pub fn of(attached: &mut Attached, totals: &ScanTotals) -> anyhow::Result<Self> {
        let path = attached.cgroup_path();
        let mut hidden_processes = 0;
        // Connections are listed before the records: what is opened meanwhile
        // is not asked for.
        let listed = connections(&path, &mut hidden_processes)?;
        let known = records(attached)?;
        let mut missing: Vec<_> = listed.into_iter().filter(|connection| !known.contains(&connection.inode)).collect();
        if !missing.is_empty() {
            // Those that were closed meanwhile are not missing.
            let still: HashSet<_> =
                connections(&path, &mut 0)?.into_iter().map(|connection| connection.inode).collect();
            missing.retain(|connection| still.contains(&connection.inode));
        }
        let attached_at = Duration::from_nanos(attached.description().since_boot_ns);
        let mut uncovered = HashMap::new();
        for connection in missing {
            if is_left_alone(attached, &connection)? {
                continue;
            }
            *uncovered.entry(reason(connection.started, attached_at)).or_default() += 1;
        }
        let established = totals.flows().saturating_sub(totals.adopted);
        Ok(Self { established, adopted: totals.adopted, uncovered, hidden_processes })
    }

    /// What is missing, in a sentence; `None` where nothing is.
    pub fn gap(&self, name: &str) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(count) = self.uncovered.get(&Reason::BeforeAttach) {
            parts
                .push(format!("{count} connections may be older than the attachment (`injector adopt --name {name}`)"));
        }
        if let Some(count) = self.uncovered.get(&Reason::OtherCgroup) {
            parts.push(format!(
                "{count} connections came with a socket or listener of another cgroup (`injector adopt --name {name}`)"
            ));
        }
        if self.hidden_processes > 0 {
            parts.push(format!(
                "{} processes may not be looked into (CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH)",
                self.hidden_processes
            ));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

fn reason(started: Duration, attached_at: Duration) -> Reason {
    if started < attached_at { Reason::BeforeAttach } else { Reason::OtherCgroup }
}

/// Whether a policy has it that the connection gets no record, adopted or not.
fn is_left_alone(attached: &Attached, connection: &Connection) -> anyhow::Result<bool> {
    let Way { endpoints, direction } = &connection.way;
    let (_, policy, adopt) = attached.choose(endpoints, *direction, connection.cgroup_id)?;
    Ok(policy.keepalive.idle_s == 0 || adopt == LEAVE)
}

fn records(attached: &mut Attached) -> anyhow::Result<HashSet<u64>> {
    let mut inodes = HashSet::new();
    attached.brief(|brief| {
        inodes.insert(brief.inode);
    })?;
    Ok(inodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_the_process_tells() {
        let attached_at = Duration::from_secs(100);
        assert_eq!(reason(Duration::from_secs(99), attached_at), Reason::BeforeAttach);
        assert_eq!(reason(Duration::from_secs(100), attached_at), Reason::OtherCgroup);
    }

    #[test]
    fn gaps_are_told() {
        assert_eq!(Coverage::default().gap("x"), None);
        let coverage = Coverage {
            uncovered: [(Reason::BeforeAttach, 2), (Reason::OtherCgroup, 1)].into(),
            hidden_processes: 3,
            ..Coverage::default()
        };
        let gap = coverage.gap("x").expect("there is one");
        for part in ["2 connections may be older", "adopt --name x", "1 connections came with", "3 processes"] {
            assert!(gap.contains(part), "{gap}");
        }
    }
}
