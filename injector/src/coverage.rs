//! TCP connections of a cgroup's processes that no record exists for.
//!
//! Found from the other side: by what `/proc` shows of the processes and of
//! their network namespaces, less what the attachment has records of.

use std::{
    collections::{HashMap, HashSet},
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::Duration,
};

use injector_common::scan::ScanTotals;
use procfs::{
    net::{TcpNetEntry, TcpState},
    process::{FDTarget, Process as Proc},
};
use serde::Serialize;

use crate::{bpf::Attached, cgroup};

/// How far an attachment covers the processes of its cgroup.
#[derive(Debug, Default, Serialize)]
pub struct Coverage {
    /// Flows seen when their connection was established.
    pub established: u64,
    /// Flows that were there before and were adopted.
    pub adopted: u64,
    /// Connections without a record, by reason.
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

/// A connection as `/proc` shows it.
#[derive(Clone, Debug)]
struct Connection {
    inode: u64,
    started: Duration,
}

impl Coverage {
    /// Compares what `attached` knows with what there is.
    pub fn of(attached: &mut Attached, totals: &ScanTotals) -> anyhow::Result<Self> {
        let path = attached.cgroup_path();
        let mut hidden_processes = 0;
        // Connections are listed before the records: what is opened meanwhile
        // is not asked for.
        let connections = connections(&path, &mut hidden_processes)?;
        let known = records(attached)?;
        let mut missing: Vec<_> =
            connections.into_iter().filter(|connection| !known.contains(&connection.inode)).collect();
        if !missing.is_empty() {
            // Those that were closed meanwhile are not missing.
            let still: HashSet<_> =
                self::connections(&path, &mut 0)?.into_iter().map(|connection| connection.inode).collect();
            missing.retain(|connection| still.contains(&connection.inode));
        }
        let attached_at = Duration::from_nanos(attached.description().since_boot_ns);
        let mut uncovered = HashMap::new();
        for connection in missing {
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

fn records(attached: &mut Attached) -> anyhow::Result<HashSet<u64>> {
    let mut inodes = HashSet::new();
    attached.brief(|brief| {
        inodes.insert(brief.inode);
    })?;
    Ok(inodes)
}

/// The live connections that processes of the cgroup hold.
fn connections(path: &str, hidden: &mut u64) -> anyhow::Result<Vec<Connection>> {
    let mut namespaces: HashMap<u64, HashSet<u64>> = HashMap::new();
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for id in cgroup::processes(Path::new(path))? {
        let Ok(process) = Proc::new(id) else { continue };
        let Ok(sockets) = sockets(&process) else {
            *hidden += u64::from(process.is_alive());
            continue;
        };
        let Ok(stat) = process.stat() else { continue };
        let started = ticks(stat.starttime);
        let netns = fs::metadata(format!("/proc/{id}/ns/net")).map_or(0, |metadata| metadata.ino());
        let live = namespaces.entry(netns).or_insert_with(|| live(&process));
        let new = sockets.into_iter().filter(|inode| live.contains(inode) && seen.insert(*inode));
        found.extend(new.map(|inode| Connection { inode, started }));
    }
    Ok(found)
}

fn sockets(process: &Proc) -> procfs::ProcResult<Vec<u64>> {
    let inode = |target| match target {
        FDTarget::Socket(inode) => Some(inode),
        _ => None,
    };
    Ok(process.fd()?.flatten().filter_map(|descriptor| inode(descriptor.target)).collect())
}

/// Inode numbers of the live connections of a process' network namespace.
fn live(process: &Proc) -> HashSet<u64> {
    let entries = [process.tcp(), process.tcp6()].into_iter().flatten().flatten();
    entries.filter(is_live).map(|entry| entry.inode).collect()
}

fn is_live(entry: &TcpNetEntry) -> bool {
    let is_live =
        matches!(entry.state, TcpState::Established | TcpState::FinWait1 | TcpState::FinWait2 | TcpState::CloseWait);
    is_live && entry.inode != 0
}

fn ticks(count: u64) -> Duration {
    Duration::from_millis(count.saturating_mul(1000) / procfs::ticks_per_second())
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
