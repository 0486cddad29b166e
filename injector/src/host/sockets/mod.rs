//! The TCP sockets of a network namespace, whichever process holds them.
//!
//! The kernel lists them over netlink (`sock_diag`), from 5.11 on with their
//! cgroups. Where a namespace can't be entered, or there is no `sock_diag`,
//! `/proc/PID/net/tcp` stands in, which knows nothing of cgroups.

mod diag;
mod wire;

use std::{collections::HashSet, fs, io, net::SocketAddr};

use injector_common::record::state::{CLOSE_WAIT, ESTABLISHED, FIN_WAIT1, FIN_WAIT2};
use procfs::{
    FromBufReadSI as _,
    net::{TcpNetEntries, TcpNetEntry, TcpState},
};

use super::netns::Netns;

/// A TCP socket that is connected, half-closed or listening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TcpSocket {
    /// As in `/proc/PID/fd`; 0 where no process holds it: one that was not
    /// accepted yet, or was closed.
    pub inode: u64,
    /// TCP state, as in `include/net/tcp_states.h`.
    pub state: u8,
    /// Our end.
    pub local: SocketAddr,
    /// The other end; unspecified for a listener.
    pub peer: SocketAddr,
    /// Id of the cgroup that it was made in, from 5.11 on.
    pub cgroup_id: Option<u64>,
}

/// The sockets of one network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SocketListing {
    /// Connections and listeners.
    pub sockets: Vec<TcpSocket>,
    /// Inode numbers of the Multipath TCP sockets: connections among
    /// [`Self::sockets`] with one of these are beneath such a socket, and their
    /// process has no descriptor of them.
    pub multipath: HashSet<u64>,
}

/// `TCP_LISTEN` in `include/net/tcp_states.h`.
pub(crate) const LISTEN: u8 = 10;

/// The states that are listed: those that carry data in one direction at least,
/// and listeners.
const STATES: [u8; 5] = [ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LISTEN];

impl SocketListing {
    /// The sockets of the namespace that the calling thread is in.
    ///
    /// Errors where there is no `sock_diag`.
    pub(crate) fn here() -> io::Result<Self> {
        let multipath = diag::list(diag::MULTIPATH).unwrap_or_default();
        let mut sockets = diag::list(diag::TCP)?;
        sockets.retain(|socket| STATES.contains(&socket.state));
        Ok(Self { sockets, multipath: multipath.into_iter().map(|socket| socket.inode).collect() })
    }

    /// The same from outside, for a namespace that can't be entered.
    pub(crate) fn from_proc(namespace: &Netns) -> Self {
        let entries = ["tcp", "tcp6"].into_iter().filter_map(|name| {
            let text = fs::read(namespace.file(name)).ok()?;
            TcpNetEntries::from_buf_read(&text[..], procfs::current_system_info()).ok()
        });
        let sockets = entries.flat_map(|entries| entries.0).filter_map(|entry| from_proc(&entry)).collect();
        Self { sockets, multipath: HashSet::new() }
    }

    /// The ports that are listened on.
    pub(crate) fn ports_listened_on(&self) -> HashSet<u16> {
        self.sockets.iter().filter(|socket| socket.state == LISTEN).map(|socket| socket.local.port()).collect()
    }
}

fn from_proc(entry: &TcpNetEntry) -> Option<TcpSocket> {
    let state = match entry.state {
        TcpState::Established => ESTABLISHED,
        TcpState::FinWait1 => FIN_WAIT1,
        TcpState::FinWait2 => FIN_WAIT2,
        TcpState::CloseWait => CLOSE_WAIT,
        TcpState::Listen => LISTEN,
        _ => return None,
    };
    Some(TcpSocket {
        inode: entry.inode,
        state,
        local: entry.local_address,
        peer: entry.remote_address,
        cgroup_id: None,
    })
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        os::fd::AsFd as _,
    };

    use super::*;

    fn inode(socket: impl std::os::fd::AsFd) -> u64 {
        rustix::fs::fstat(socket.as_fd()).expect("a socket").st_ino
    }

    #[test]
    fn both_sources_list_a_connection_and_its_listener() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).expect("bound");
            let local = listener.local_addr().expect("bound");
            let client = TcpStream::connect(local).expect("connected");
            let (server, peer) = listener.accept().expect("accepted");
            let own = Netns::of(i32::try_from(std::process::id()).expect("fits")).expect("there is one");
            for listing in [SocketListing::here().expect("sock_diag"), SocketListing::from_proc(&own)] {
                let find = |inode| listing.sockets.iter().find(|socket| socket.inode == inode).expect("listed");
                let (near, far, listens) =
                    (find(inode(client.as_fd())), find(inode(server.as_fd())), find(inode(listener.as_fd())));
                assert_eq!((near.state, near.local, near.peer), (ESTABLISHED, peer, local));
                assert_eq!((far.state, far.local, far.peer), (ESTABLISHED, local, peer));
                assert_eq!((listens.state, listens.local), (LISTEN, local));
                assert!(listing.ports_listened_on().contains(&local.port()));
                assert!(!listing.multipath.contains(&near.inode));
                assert_eq!(near.cgroup_id, far.cgroup_id);
            }
        }
    }
}
