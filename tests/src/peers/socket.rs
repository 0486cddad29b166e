//! What a [`Peer`](crate::Peer) reports about its sockets.

use std::net::SocketAddr;

use serde::Deserialize;

/// A socket of a [`Peer`](crate::Peer).
#[derive(Clone, Debug, Deserialize)]
pub struct Socket {
    pub(crate) id: u64,
    /// The kernel's own name for the socket (`SO_COOKIE`).
    pub cookie: u64,
    /// The socket's inode, as in `/proc/PID/fd`.
    pub inode: u64,
    /// The local address, IPv4-mapped where the socket is an IPv6 one that talks IPv4.
    pub local: SocketAddr,
}

/// Why a socket operation did not work out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing came in time.
    Timeout,
    /// The other side ended the connection.
    Closed,
    /// The kernel's error, by name: `ECONNRESET`.
    Errno(String),
}

/// A socket's keepalive options, as a program reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// `SO_KEEPALIVE`.
    pub enabled: u64,
    /// `TCP_KEEPIDLE`, in seconds.
    pub idle: u64,
    /// `TCP_KEEPINTVL`, in seconds.
    pub interval: u64,
    /// `TCP_KEEPCNT`.
    pub probes: u64,
}

impl Keepalive {
    /// The defaults of a socket.
    pub const UNTOUCHED: Self = Self { enabled: 0, idle: 7200, interval: 75, probes: 9 };

    /// Keepalive switched on with these values.
    pub const fn on(idle: u64, interval: u64, probes: u64) -> Self {
        Self { enabled: 1, idle, interval, probes }
    }
}

/// How two peers on one host reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// IPv4 sockets.
    V4,
    /// IPv6 sockets.
    V6,
    /// IPv6 sockets on both ends that talk IPv4 to each other.
    Mapped,
}

impl Route {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::V4, Self::V6, Self::Mapped];

    pub(crate) const fn server(self) -> &'static str {
        match self {
            Self::V4 => "127.0.0.1",
            Self::V6 => "::1",
            Self::Mapped => "::",
        }
    }

    /// The address that a client connects to.
    pub const fn target(self) -> &'static str {
        match self {
            Self::V4 => "127.0.0.1",
            Self::V6 => "::1",
            Self::Mapped => "::ffff:127.0.0.1",
        }
    }
}
