//! Which connections have no record.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use injector_common::decision::LEAVE;

use super::Reason;
use crate::{
    attachment::census::{Census, Holding, Holdings, ListedSocket, pids},
    bpf::Attached,
    host::{
        cgroup::{self, Resident},
        pidfd,
    },
};

/// The connections of this host at one moment, and which processes hold them.
#[derive(Debug, Default)]
pub struct Snapshot {
    census: Census,
    /// Processes are looked at where it matters, unless they were before.
    holdings: Holdings,
}

impl Snapshot {
    /// The sockets now; processes when they are needed.
    pub fn take() -> Self {
        Self { census: Census::take(), holdings: Holdings::default() }
    }

    /// The sockets and all processes, which takes a while.
    pub fn of_all() -> Self {
        Self { census: Census::take(), holdings: Holdings::of_all() }
    }

    /// Which of these any process holds, with whether a thread alone does.
    fn held(&mut self, inodes: &HashSet<u64>) -> HashMap<u64, bool> {
        let mut found = HashMap::new();
        for pid in pids() {
            if let Holding::Sockets { sockets, .. } = self.holdings.get(pid) {
                found.extend(sockets.iter().copied().filter(|(inode, _)| inodes.contains(inode)));
            }
        }
        found
    }
}

/// Connections without a record that may just have been closed.
#[derive(Debug, Default)]
pub struct Candidates {
    by_inode: HashMap<u64, Reason>,
    /// Processes of the cgroup whose sockets we may not see.
    pub hidden_processes: u64,
}

/// A connection of the cgroup.
#[derive(Clone, Copy, Debug)]
struct Connection {
    listed: ListedSocket,
    /// The cgroup that the socket was made in is in the attachment's tree; `None` where the kernel does not report it.
    is_of_tree: Option<bool>,
    /// Of the cgroup's own processes.
    holder: Option<Holder>,
}

#[derive(Clone, Copy, Debug)]
struct Holder {
    started: Duration,
    cgroup_id: u64,
    is_thread: bool,
}

impl Candidates {
    /// The connections in `snapshot` that `attached` should have a record of and
    /// does not.
    pub fn of(attached: &mut Attached, snapshot: &mut Snapshot) -> anyhow::Result<Self> {
        let path = attached.cgroup_path();
        let tree = cgroup::ids_below(&path)?;
        let mut hidden_processes = 0;
        let mut connections = HashMap::new();
        for resident in cgroup::residents(&path)? {
            match snapshot.holdings.get(resident.pid) {
                Holding::Sockets { started, sockets } => {
                    held(&mut connections, &snapshot.census, &tree, &resident, *started, sockets);
                }
                Holding::Hidden => hidden_processes += 1,
                Holding::Ended => {}
            }
        }
        for (inode, listed) in snapshot.census.connections() {
            if listed.cgroup_id.is_some_and(|id| tree.contains(&id)) {
                connections.entry(inode).or_insert(Connection {
                    listed: *listed,
                    is_of_tree: Some(true),
                    holder: None,
                });
            }
        }
        let known = records(attached)?;
        connections.retain(|inode, _| !known.contains(inode));
        let mut missing = HashMap::new();
        for (inode, connection) in connections {
            if !is_left_alone(attached, &connection)? {
                missing.insert(inode, connection);
            }
        }
        let by_inode = reasons(attached, snapshot, &missing, hidden_processes > 0);
        Ok(Self { by_inode, hidden_processes })
    }

    /// Whether there are none.
    pub fn are_none(&self) -> bool {
        self.by_inode.is_empty()
    }

    /// How many of them are still there, by reason.
    pub(super) fn still_there(&self, later: &Snapshot) -> BTreeMap<Reason, u64> {
        let mut counts = BTreeMap::new();
        let is_there = |inode: u64| later.census.get(inode).is_some_and(ListedSocket::is_connection);
        for (_, reason) in self.by_inode.iter().filter(|(inode, _)| is_there(**inode)) {
            *counts.entry(*reason).or_default() += 1;
        }
        counts
    }
}

/// Adds the connections that a process holds.
fn held(
    connections: &mut HashMap<u64, Connection>,
    census: &Census,
    tree: &HashSet<u64>,
    resident: &Resident,
    started: Duration,
    sockets: &[(u64, bool)],
) {
    for &(inode, is_thread) in sockets {
        let Some(listed) = census.get(inode).filter(|listed| listed.is_connection()) else { continue };
        let is_of_tree = listed.cgroup_id.map(|id| tree.contains(&id));
        // Threads of other cgroups have it, too, and made it there.
        if resident.is_partial && is_of_tree == Some(false) {
            continue;
        }
        let holder = Some(Holder { started, cgroup_id: resident.cgroup_id, is_thread });
        let there = connections.entry(inode).or_insert(Connection { listed: *listed, is_of_tree, holder });
        // What the main thread holds as well can be taken from it.
        if !is_thread {
            there.holder = holder;
        }
    }
}

/// Why each of them has no record. Those that no process of the cgroup holds are
/// looked for in all others.
fn reasons(
    attached: &Attached,
    snapshot: &mut Snapshot,
    missing: &HashMap<u64, Connection>,
    is_any_hidden: bool,
) -> HashMap<u64, Reason> {
    let astray: HashSet<_> =
        missing.iter().filter(|(_, connection)| connection.holder.is_none()).map(|(inode, _)| *inode).collect();
    let elsewhere = if astray.is_empty() { HashMap::new() } else { snapshot.held(&astray) };
    let attached_at = Duration::from_nanos(attached.description().since_boot_ns);
    let can_take = pidfd::opens_threads();
    let why = |inode: u64, connection: &Connection| {
        let is_thread = connection.holder.map(|holder| holder.is_thread).or_else(|| elsewhere.get(&inode).copied());
        match is_thread {
            _ if connection.listed.is_multipath => Reason::Mptcp,
            None if is_any_hidden => Reason::Hidden,
            None => Reason::NoDescriptor,
            Some(true) if !can_take => Reason::ThreadTable,
            Some(_) => since(connection, attached_at),
        }
    };
    missing.iter().map(|(inode, connection)| (*inode, why(*inode, connection))).collect()
}

fn since(connection: &Connection, attached_at: Duration) -> Reason {
    match (connection.is_of_tree, connection.holder) {
        (Some(false), _) => Reason::OtherCgroup,
        (None, Some(holder)) if holder.started >= attached_at => Reason::OtherCgroup,
        _ => Reason::BeforeAttach,
    }
}

/// Whether a policy exempts the connection from adoption.
fn is_left_alone(attached: &Attached, connection: &Connection) -> anyhow::Result<bool> {
    let Connection { listed, holder, .. } = connection;
    let cgroup_id = listed.cgroup_id.or(holder.map(|holder| holder.cgroup_id)).unwrap_or(0);
    let (_, policy, adopt) = attached.choose(&listed.endpoints, listed.direction, cgroup_id)?;
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
    use injector_common::{
        record::{Endpoints, state::ESTABLISHED},
        stats::ACTIVE,
    };

    use super::*;

    const SINCE: Duration = Duration::from_secs(100);

    fn listed(cgroup_id: Option<u64>) -> ListedSocket {
        ListedSocket {
            endpoints: Endpoints::default(),
            direction: ACTIVE,
            state: ESTABLISHED,
            cgroup_id,
            is_multipath: false,
            netns: 1,
        }
    }

    #[test]
    fn the_sockets_cgroup_decides_or_else_the_age_of_the_process() {
        let table = [
            (Some(true), 200, Reason::BeforeAttach),
            (Some(false), 50, Reason::OtherCgroup),
            (None, 99, Reason::BeforeAttach),
            (None, 100, Reason::OtherCgroup),
        ];
        for (is_of_tree, started, expected) in table {
            let holder = Holder { started: Duration::from_secs(started), cgroup_id: 1, is_thread: false };
            let connection = Connection { listed: listed(None), is_of_tree, holder: Some(holder) };
            assert_eq!(since(&connection, SINCE), expected, "{is_of_tree:?} {started}");
        }
    }

    #[test]
    fn threads_of_other_cgroups_answer_for_what_they_made() {
        let census = Census::of([(7, listed(Some(1))), (8, listed(Some(2))), (9, listed(None))]);
        let sockets = [(7, false), (8, false), (9, true), (9, false), (10, false)];
        for (is_partial, expected) in [(false, vec![7, 8, 9]), (true, vec![7, 9])] {
            let mut connections = HashMap::new();
            let resident = Resident { pid: 5, cgroup_id: 1, is_partial };
            held(&mut connections, &census, &[1].into(), &resident, SINCE, &sockets);
            let mut inodes: Vec<_> = connections.keys().copied().collect();
            inodes.sort_unstable();
            assert_eq!(inodes, expected);
            assert!(connections[&9].holder.is_some_and(|holder| !holder.is_thread));
        }
    }
}
