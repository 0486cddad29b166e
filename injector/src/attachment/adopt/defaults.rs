//! What a network namespace has for sockets that chose nothing, and which of
//! its ports are listened on.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    os::fd::{AsFd as _, BorrowedFd},
    thread,
};

use injector_common::keepalive::Sysctl;
use procfs::{
    net::{TcpNetEntry, TcpState},
    process::Process,
};
use rustix::{
    net::getsockname,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use super::holders::Holder;
use crate::attachment::adopt::options;

/// Sysctls of a namespace, with the number of probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NamespaceDefaults {
    pub(super) sysctl: Sysctl,
    pub(super) probes: u32,
}

/// What is known of each network namespace, read once.
#[derive(Debug, Default)]
pub(super) struct Defaults(HashMap<u64, Namespace>);

#[derive(Debug)]
struct Namespace {
    defaults: NamespaceDefaults,
    listened_on: HashSet<u16>,
}

impl Defaults {
    /// Of the namespace that the process is in: its sockets' own, as a rule.
    pub(super) fn of(&mut self, holder: &Holder) -> NamespaceDefaults {
        self.namespace(holder.process()).defaults
    }

    /// Whether the local port of `socket` is listened on.
    pub(super) fn is_listened_on(&mut self, holder: &Holder, socket: BorrowedFd<'_>) -> bool {
        let port = getsockname(socket).ok().and_then(|address| options::inet(&address)).map(|address| address.port());
        port.is_some_and(|port| self.namespace(holder.process()).listened_on.contains(&port))
    }

    fn namespace(&mut self, process: &Process) -> &Namespace {
        let path = format!("/proc/{}/ns/net", process.pid);
        let id = fs::metadata(&path).map_or(0, |metadata| std::os::unix::fs::MetadataExt::ino(&metadata));
        self.0.entry(id).or_insert_with(|| Namespace {
            defaults: inside(&path).unwrap_or_else(read),
            listened_on: listened_on(process),
        })
    }
}

/// The sysctls as seen from inside. `None` where we may not go there
/// (`CAP_SYS_ADMIN`): our own stand in for them.
fn inside(path: &str) -> Option<NamespaceDefaults> {
    let namespace = File::open(path).ok()?;
    // A thread of its own: namespaces are joined by threads.
    let reader = thread::spawn(move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).ok()?;
        Some(read())
    });
    reader.join().ok().flatten()
}

/// `/proc/sys/net` shows the namespace of the reading thread.
fn read() -> NamespaceDefaults {
    let value = |name: &str, kernels_own| {
        let text = fs::read_to_string(format!("/proc/sys/net/ipv4/tcp_keepalive_{name}"));
        text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(kernels_own)
    };
    NamespaceDefaults {
        sysctl: Sysctl { idle_s: value("time", 7200), interval_s: value("intvl", 75) },
        probes: value("probes", 9),
    }
}

fn listened_on(process: &Process) -> HashSet<u16> {
    let entries = [process.tcp(), process.tcp6()].into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.state == TcpState::Listen)
        .map(|entry: TcpNetEntry| entry.local_address.port())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_namespace_seen_from_inside_is_ours() {
        assert_eq!(inside("/proc/self/ns/net").unwrap_or_else(read), read());
        assert_eq!(inside("/proc/self/ns/none"), None);
    }
}
