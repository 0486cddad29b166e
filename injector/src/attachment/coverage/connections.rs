//! The live connections of processes, as `/proc` shows them.

use std::{
    collections::{HashMap, HashSet},
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::Duration,
};

use injector_common::{
    record::Endpoints,
    stats::{ACTIVE, PASSIVE},
};
use procfs::{
    net::{TcpNetEntry, TcpState},
    process::Process as Proc,
};

use crate::host::{cgroup, endpoint::words, process::socket_descriptors};

/// A connection.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) inode: u64,
    pub(super) started: Duration,
    /// That of its process, which is its own as a rule.
    pub(super) cgroup_id: u64,
    pub(super) way: Way,
}

/// Where a connection leads, and who opened it as far as can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) endpoints: Endpoints,
    pub(super) direction: u8,
}

/// The live connections that processes of the cgroup hold.
pub(super) fn connections(path: &str, hidden: &mut u64) -> anyhow::Result<Vec<Connection>> {
    let mut namespaces: HashMap<u64, HashMap<u64, Way>> = HashMap::new();
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for (id, cgroup_id) in cgroup::residents(Path::new(path))? {
        let Ok(process) = Proc::new(id) else { continue };
        let Ok(sockets) = socket_descriptors(id) else {
            *hidden += u64::from(process.is_alive());
            continue;
        };
        let Ok(stat) = process.stat() else { continue };
        let started = ticks(stat.starttime);
        let netns = fs::metadata(format!("/proc/{id}/ns/net")).map_or(0, |metadata| metadata.ino());
        let live = namespaces.entry(netns).or_insert_with(|| live(&process));
        for (_, inode) in sockets {
            if let Some(&way) = live.get(&inode)
                && seen.insert(inode)
            {
                found.push(Connection { inode, started, cgroup_id, way });
            }
        }
    }
    Ok(found)
}

/// The live connections of a process' network namespace, by their inode numbers.
fn live(process: &Proc) -> HashMap<u64, Way> {
    let entries: Vec<_> = [process.tcp(), process.tcp6()].into_iter().flatten().flatten().collect();
    ways(&entries)
}

/// What has the port of a listener was accepted there, as a rule.
fn ways(entries: &[TcpNetEntry]) -> HashMap<u64, Way> {
    let listeners = entries.iter().filter(|entry| entry.state == TcpState::Listen);
    let listened_on: HashSet<_> = listeners.map(|entry| entry.local_address.port()).collect();
    let way = |entry: &TcpNetEntry| {
        let (local_address, local_port) = words(entry.local_address);
        let (peer_address, peer_port) = words(entry.remote_address);
        let endpoints = Endpoints { local_address, peer_address, local_port, peer_port };
        Way { endpoints, direction: if listened_on.contains(&local_port) { PASSIVE } else { ACTIVE } }
    };
    entries.iter().filter(|entry| is_live(entry)).map(|entry| (entry.inode, way(entry))).collect()
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
    use procfs::{FromBufReadSI as _, net::TcpNetEntries};

    use super::*;

    /// As `/proc/net/tcp` has them: a listener on 80, what it accepted, that one's other end, one that was closed and one
    /// that is being opened.
    const ENTRIES: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:0050 0100007F:0FA0 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
   2: 0100007F:0FA0 0100007F:0050 08 00000000:00000000 00:00000000 00000000     0        0 3 1 0 20 4 30 10 -1
   3: 0100007F:0FA1 0100007F:0050 06 00000000:00000000 03:000014B4 00000000     0        0 0 3 0
   4: 0100007F:0FA2 0100007F:0050 02 00000000:00000000 00:00000000 00000000     0        0 4 1 0 20 4 30 10 -1
";

    #[test]
    fn what_proc_tells_of_connections() {
        let entries = TcpNetEntries::from_buf_read(ENTRIES.as_bytes(), procfs::current_system_info()).expect("valid");
        let ways = ways(&entries.0);
        let told = |inode| ways.get(&inode).map(|way: &Way| (way.direction, way.endpoints.peer_port));
        assert_eq!([1, 2, 3, 0, 4].map(told), [None, Some((PASSIVE, 4000)), Some((ACTIVE, 80)), None, None]);
    }
}
