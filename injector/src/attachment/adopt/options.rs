//! Keepalive options of a socket that is held.

use std::{net::SocketAddr, os::fd::BorrowedFd, time::Duration};

use injector_common::{
    keepalive::{Keepalive, Own},
    stats,
};
use rustix::{
    io::Result,
    net::{AddressFamily, SocketAddrAny, SocketType, ipproto, sockopt},
};

use super::defaults::NamespaceDefaults;

/// An option that the kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) option: &'static str,
    pub(super) errno: i32,
}

/// Whether it is a TCP socket over IP. Multipath TCP is not: what it shows to
/// its process is not what is on the wire.
pub(super) fn is_tcp(socket: BorrowedFd<'_>) -> bool {
    let is_inet = matches!(sockopt::socket_domain(socket), Ok(AddressFamily::INET | AddressFamily::INET6));
    is_inet
        && matches!(sockopt::socket_type(socket), Ok(SocketType::STREAM))
        && matches!(sockopt::socket_protocol(socket), Ok(Some(ipproto::TCP)))
}

/// What is in force.
pub(super) fn in_force(socket: BorrowedFd<'_>) -> Result<(bool, Keepalive)> {
    Ok((
        sockopt::socket_keepalive(socket)?,
        Keepalive {
            idle_s: seconds(sockopt::tcp_keepidle(socket)?),
            interval_s: seconds(sockopt::tcp_keepintvl(socket)?),
            probes: sockopt::tcp_keepcnt(socket)?,
            user_timeout_ms: sockopt::tcp_user_timeout(socket)?,
        },
    ))
}

/// What the application chose. From outside a value that is the namespace's
/// default looks as if it was never set, and is taken so.
pub(super) fn own(enabled: bool, in_force: &Keepalive, defaults: &NamespaceDefaults) -> Own {
    let chosen = |value, default| if value == default { 0 } else { value };
    Own {
        enabled,
        idle_s: chosen(in_force.idle_s, defaults.sysctl.idle_s),
        interval_s: chosen(in_force.interval_s, defaults.sysctl.interval_s),
        probes: chosen(in_force.probes, defaults.probes),
        user_timeout_ms: in_force.user_timeout_ms,
    }
}

/// Sets all parameters, up to the first one that is refused.
///
/// The switch comes first and the idle time last: only setting the idle time of
/// a socket that has keepalive on counts the silence so far, where the switch
/// would start to count from now (`tcp_sock_set_keepidle_locked` and
/// `tcp_set_keepalive` in `net/ipv4`).
pub(super) fn apply(socket: BorrowedFd<'_>, keepalive: &Keepalive) -> std::result::Result<(), Refused> {
    set(stats::OPTION_KEEPALIVE, sockopt::set_socket_keepalive(socket, true))?;
    set(stats::OPTION_INTERVAL, sockopt::set_tcp_keepintvl(socket, duration(keepalive.interval_s)))?;
    set(stats::OPTION_PROBES, sockopt::set_tcp_keepcnt(socket, keepalive.probes))?;
    if keepalive.user_timeout_ms != 0 {
        set(stats::OPTION_USER_TIMEOUT, sockopt::set_tcp_user_timeout(socket, keepalive.user_timeout_ms))?;
    }
    set(stats::OPTION_IDLE, sockopt::set_tcp_keepidle(socket, duration(keepalive.idle_s)))
}

/// An address and port, if it is one of IP.
pub(super) fn inet(address: &SocketAddrAny) -> Option<SocketAddr> {
    SocketAddr::try_from(address.clone()).ok()
}

fn set(option: u8, result: Result<()>) -> std::result::Result<(), Refused> {
    result.map_err(|errno| Refused { option: stats::OPTION_NAMES[usize::from(option)], errno: errno.raw_os_error() })
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

const fn duration(seconds: u32) -> Duration {
    Duration::from_secs(seconds as u64)
}

#[cfg(test)]
mod tests {
    use injector_common::keepalive::Sysctl;

    use super::*;

    const LINUX: NamespaceDefaults = NamespaceDefaults { sysctl: Sysctl { idle_s: 7200, interval_s: 75 }, probes: 9 };

    #[test]
    fn defaults_are_no_choice() {
        let default = Keepalive { idle_s: 7200, interval_s: 75, probes: 9, user_timeout_ms: 0 };
        assert_eq!(own(false, &default, &LINUX), Own::default());
        let chosen = Keepalive { idle_s: 60, user_timeout_ms: 5, ..default };
        let expected = Own { enabled: true, idle_s: 60, user_timeout_ms: 5, ..Own::default() };
        assert_eq!(own(true, &chosen, &LINUX), expected);
    }
}
