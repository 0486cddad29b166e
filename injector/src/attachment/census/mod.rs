//! The TCP sockets of this host at one moment: where they lead, which cgroup
//! they were made in, and which processes hold them.
//!
//! Adoption and coverage both use it.

mod defaults;
mod holdings;

use std::collections::{HashMap, HashSet};

pub(crate) use holdings::{Holding, Holdings, pids};
use injector_common::{
    keepalive::Sysctl,
    record::Endpoints,
    stats::{ACTIVE, PASSIVE},
};

use crate::host::{
    endpoint::words,
    netns::Netns,
    sockets::{LISTEN, SocketListing, TcpSocket},
};

/// The sockets of all network namespaces.
#[derive(Debug, Default)]
pub(crate) struct Census {
    by_inode: HashMap<u64, ListedSocket>,
    namespaces: HashMap<u64, Namespace>,
}

/// A socket that a process holds, or something else than a process: a register
/// of `io_uring`, a message in flight, the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListedSocket {
    pub(crate) endpoints: Endpoints,
    /// A connection with the port of a listener was usually accepted there.
    pub(crate) direction: u8,
    /// TCP state, as in `include/net/tcp_states.h`.
    pub(crate) state: u8,
    /// The cgroup that it was made in, where the kernel reports it (5.11).
    pub(crate) cgroup_id: Option<u64>,
    /// It is beneath a Multipath TCP socket.
    pub(crate) is_multipath: bool,
    /// The kernel's number of its network namespace.
    pub(crate) netns: u64,
}

impl ListedSocket {
    /// Whether it is a connection.
    pub(crate) const fn is_connection(&self) -> bool {
        self.state != LISTEN
    }
}

#[derive(Debug)]
struct Namespace {
    sysctl: Sysctl,
    listened_on: HashSet<u16>,
}

impl Census {
    /// Looks at all network namespaces of this host's processes. Those that can't be entered are read from outside,
    /// with less detail.
    pub(crate) fn take() -> Self {
        let mut census = Self::default();
        for netns in Netns::all() {
            let visited = netns.inside(|| (defaults::here(), SocketListing::here().ok()));
            let (sysctl, listing) = visited.unwrap_or_else(|| (defaults::here(), None));
            let listing = listing.unwrap_or_else(|| SocketListing::from_proc(&netns));
            census.add(netns.inode, sysctl, &listing);
        }
        census
    }

    #[cfg(test)]
    pub(super) fn of(sockets: impl IntoIterator<Item = (u64, ListedSocket)>) -> Self {
        Self { by_inode: sockets.into_iter().collect(), namespaces: HashMap::new() }
    }

    fn add(&mut self, netns: u64, sysctl: Sysctl, listing: &SocketListing) {
        let listened_on = listing.ports_listened_on();
        for socket in listing.sockets.iter().filter(|socket| socket.inode != 0) {
            self.by_inode.insert(socket.inode, listed(socket, netns, listing, &listened_on));
        }
        self.namespaces.insert(netns, Namespace { sysctl, listened_on });
    }

    /// A socket, by its inode number.
    pub(crate) fn get(&self, inode: u64) -> Option<&ListedSocket> {
        self.by_inode.get(&inode)
    }

    /// All connections, with their inode numbers.
    pub(crate) fn connections(&self) -> impl Iterator<Item = (u64, &ListedSocket)> {
        self.by_inode.iter().filter(|(_, listed)| listed.is_connection()).map(|(inode, listed)| (*inode, listed))
    }

    /// Inode numbers of connections and listeners that were made in one of these
    /// cgroups.
    pub(crate) fn made_in(&self, cgroups: &HashSet<u64>) -> impl Iterator<Item = u64> {
        let is_of = |listed: &ListedSocket| listed.cgroup_id.is_some_and(|id| cgroups.contains(&id));
        self.by_inode.iter().filter(move |(_, listed)| is_of(listed)).map(|(inode, _)| *inode)
    }

    /// A network namespace's defaults for sockets without settings of their own; ours for one that is unknown.
    pub(crate) fn sysctl(&self, netns: u64) -> Sysctl {
        self.namespaces.get(&netns).map_or_else(defaults::here, |namespace| namespace.sysctl)
    }

    /// The direction of a connection that came later, by its local port.
    pub(crate) fn direction(&self, netns: u64, local_port: u16) -> u8 {
        direction(self.namespaces.get(&netns).is_some_and(|namespace| namespace.listened_on.contains(&local_port)))
    }
}

const fn direction(is_listened_on: bool) -> u8 {
    if is_listened_on { PASSIVE } else { ACTIVE }
}

fn listed(socket: &TcpSocket, netns: u64, listing: &SocketListing, listened_on: &HashSet<u16>) -> ListedSocket {
    let (local_address, local_port) = words(socket.local);
    let (peer_address, peer_port) = words(socket.peer);
    ListedSocket {
        endpoints: Endpoints { local_address, peer_address, local_port, peer_port },
        direction: direction(listened_on.contains(&local_port)),
        state: socket.state,
        cgroup_id: socket.cgroup_id,
        is_multipath: listing.multipath.contains(&socket.inode),
        netns,
    }
}
