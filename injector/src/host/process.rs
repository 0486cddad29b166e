//! Which process holds a socket.

use std::{collections::HashMap, ffi::OsStr, path::Path};

use procfs::process::{Process as Proc, all_processes};
use serde::{Deserialize, Serialize};

use super::tables::descriptor_tables;

/// A process, as far as it helps to recognise it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Process id in our namespace.
    pub pid: i32,
    /// `comm` of the process.
    pub name: String,
}

/// Holders of all sockets, by the sockets' inode numbers.
#[derive(Debug, Default)]
pub(crate) struct SocketHolders {
    by_inode: HashMap<u64, i32>,
    names: HashMap<i32, String>,
}

impl SocketHolders {
    /// Looks through `/proc`. Processes that end meanwhile or deny access are skipped. Where several hold a socket, the
    /// lowest id counts.
    pub(crate) fn load() -> Self {
        let mut holders = Self::default();
        for process in all_processes().into_iter().flatten().flatten() {
            holders.add(&process);
        }
        holders
    }

    fn add(&mut self, process: &Proc) {
        let mut holds_any = false;
        let tables = descriptor_tables(process.pid).unwrap_or_default();
        for (_, inode) in tables.into_iter().flat_map(|table| table.sockets) {
            let holder = self.by_inode.entry(inode).or_insert(process.pid);
            *holder = process.pid.min(*holder);
            holds_any = true;
        }
        if holds_any && let Ok(stat) = process.stat() {
            self.names.insert(process.pid, stat.comm);
        }
    }

    /// The process that holds the socket with this inode number.
    pub(crate) fn get(&self, inode: u64) -> Option<Process> {
        let pid = *self.by_inode.get(&inode)?;
        let name = self.names.get(&pid)?.clone();
        Some(Process { pid, name })
    }
}

/// The number of a descriptor that is a socket, and the socket's inode number, from a link in `/proc/PID/fd`: `7` and
/// `socket:[123]`. `None` for other descriptors.
pub fn socket(number: &OsStr, target: &Path) -> Option<(i32, u64)> {
    let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
    Some((number.to_str()?.parse().ok()?, inode.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::{fs, net::TcpListener, os::fd::AsRawFd as _};

    use super::*;

    #[test]
    fn sockets_are_distinguished_from_other_descriptors() {
        let table = [("7", "socket:[123]", Some((7, 123))), ("7", "pipe:[123]", None), ("x", "socket:[1]", None)];
        for (number, target, expected) in table {
            assert_eq!(socket(OsStr::new(number), Path::new(target)), expected, "{number} {target}");
        }
    }

    #[test]
    fn our_own_socket_is_ours() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let link = fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).expect("a link");
        let inode = link.to_string_lossy().trim_matches(|char: char| !char.is_ascii_digit()).parse().expect("a number");
        let holder = SocketHolders::load().get(inode).expect("held");
        assert_eq!(u32::try_from(holder.pid), Ok(std::process::id()));
        assert_eq!(SocketHolders::load().get(u64::MAX), None);
    }
}
