//! The TCP connections of another process, as the kernel has them.

use std::fs;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{getpeername, getsockname, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::peers::socket::Keepalive;

/// A connection of another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The process's end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The socket's keepalive options.
    pub keepalive: Keepalive,
}

/// The connections that a process has open.
pub fn connections_of(pid: u32) -> Vec<Connection> {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    let process = pidfd_open(process, PidfdFlags::empty()).expect("the process runs");
    let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs");
    let numbers = files.filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok());
    // What the process closed since the listing is no connection any more.
    numbers
        .filter_map(|number| pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok())
        .filter_map(|file| connection(&file))
        .collect()
}

/// `None` for what is no connected TCP socket.
fn connection(socket: &OwnedFd) -> Option<Connection> {
    let socket = socket.as_fd();
    let seconds = |time: std::time::Duration| time.as_secs();
    Some(Connection {
        local: getsockname(socket).ok()?.try_into().ok()?,
        remote: getpeername(socket).ok()??.try_into().ok()?,
        keepalive: Keepalive {
            enabled: u64::from(sockopt::socket_keepalive(socket).ok()?),
            idle: sockopt::tcp_keepidle(socket).ok().map(seconds)?,
            interval: sockopt::tcp_keepintvl(socket).ok().map(seconds)?,
            probes: sockopt::tcp_keepcnt(socket).ok()?.into(),
        },
    })
}
