//! TCP connections of this program's own, and their options.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use injector_tests::Keepalive;
use rustix::net::sockopt::{
    set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl, set_tcp_user_timeout, socket_cookie,
    socket_keepalive, tcp_keepcnt, tcp_keepidle, tcp_keepintvl,
};
use rustix::net::{AddressFamily, SocketType, connect, socket};

pub(crate) const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Both ends of a connection.
pub(crate) struct Pair {
    pub(crate) connected: TcpStream,
    pub(crate) accepted: TcpStream,
}

impl Pair {
    /// One message there, and one back.
    pub(crate) fn talk(&mut self) {
        exchange(&mut self.connected, &mut self.accepted);
        exchange(&mut self.accepted, &mut self.connected);
    }
}

fn exchange(from: &mut TcpStream, to: &mut TcpStream) {
    from.write_all(b"x").expect("an open connection takes a byte");
    to.read_exact(&mut [0]).expect("and brings it");
}

pub(crate) fn listen(address: IpAddr) -> TcpListener {
    TcpListener::bind(SocketAddr::new(address, 0)).expect("the loopback device is up")
}

/// A socket that is not connected yet.
pub(crate) fn open(address: IpAddr) -> OwnedFd {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    socket(family, SocketType::STREAM, None).expect("the kernel has this family")
}

/// Connects it.
pub(crate) fn join(socket: OwnedFd, listener: &TcpListener) -> Pair {
    connect(&socket, &listener.local_addr().expect("a listener has an address")).expect("a process listens");
    let (accepted, _) = listener.accept().expect("a client came");
    Pair { connected: socket.into(), accepted }
}

pub(crate) fn keepalive(socket: impl AsFd) -> Keepalive {
    let socket = socket.as_fd();
    Keepalive {
        enabled: u64::from(socket_keepalive(socket).expect("SO_KEEPALIVE can be read")),
        idle: tcp_keepidle(socket).expect("TCP_KEEPIDLE can be read").as_secs(),
        interval: tcp_keepintvl(socket).expect("TCP_KEEPINTVL can be read").as_secs(),
        probes: u64::from(tcp_keepcnt(socket).expect("TCP_KEEPCNT can be read")),
    }
}

/// Its own and its peer's.
pub(crate) fn addresses(socket: &TcpStream) -> (SocketAddr, SocketAddr) {
    let both = socket.local_addr().and_then(|local| Ok((local, socket.peer_addr()?)));
    both.expect("a connected socket has addresses")
}

pub(crate) fn cookie(socket: impl AsFd) -> u64 {
    socket_cookie(socket).expect("SO_COOKIE can be read")
}

pub(crate) fn switch(socket: impl AsFd, on: bool) {
    set_socket_keepalive(socket, on).expect("SO_KEEPALIVE can be set");
}

pub(crate) fn set_idle(socket: impl AsFd, seconds: u64) {
    set_tcp_keepidle(socket, Duration::from_secs(seconds)).expect("TCP_KEEPIDLE can be set");
}

pub(crate) fn set_interval(socket: impl AsFd, seconds: u64) {
    set_tcp_keepintvl(socket, Duration::from_secs(seconds)).expect("TCP_KEEPINTVL can be set");
}

pub(crate) fn set_user_timeout(socket: impl AsFd, ms: u32) {
    set_tcp_user_timeout(socket, ms).expect("TCP_USER_TIMEOUT can be set");
}

pub(crate) fn set_probes(socket: impl AsFd, probes: u32) {
    set_tcp_keepcnt(socket, probes).expect("TCP_KEEPCNT can be set");
}
