//! Keepalive options of a socket that is held.

use std::{net::SocketAddr, num::NonZeroU32, os::fd::BorrowedFd, time::Duration};

use injector_common::{
    keepalive::{Keepalive, Own, Sysctl},
    stats,
};
use rustix::{
    io::Result,
    net::{AddressFamily, SocketAddrAny, SocketType, getsockname, ipproto, sockopt},
};

/// An option that the kernel refused, or that a program on the cgroup changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RefusedOption {
    pub(super) option: &'static str,
    /// [`OVERRULED`] where a program did it.
    pub(super) errno: i32,
}

/// The kernel accepted the option, but another value is effective.
pub(super) const OVERRULED: i32 = 0;

/// The kernel does not report the times.
pub(super) const TIMES_REFUSED: RefusedOption = RefusedOption { option: "TCP_KEEPIDLE", errno: libc::EOPNOTSUPP };

/// A protocol whose sockets have keepalive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    /// Multipath TCP, whose socket hands options on to the connections beneath.
    Multipath,
}

/// `IPPROTO_MPTCP` in include/uapi/linux/in.h.
const MPTCP: Option<NonZeroU32> = NonZeroU32::new(262);

/// The protocol of a stream socket over IP; `None` for all others.
pub(super) fn protocol(socket: BorrowedFd<'_>) -> Option<Protocol> {
    let is_inet = matches!(sockopt::socket_domain(socket), Ok(AddressFamily::INET | AddressFamily::INET6));
    if !is_inet || !matches!(sockopt::socket_type(socket), Ok(SocketType::STREAM)) {
        return None;
    }
    match sockopt::socket_protocol(socket).ok()?? {
        ipproto::TCP => Some(Protocol::Tcp),
        other if Some(other.as_raw()) == MPTCP => Some(Protocol::Multipath),
        _ => None,
    }
}

/// The port of its own end.
pub(super) fn local_port(socket: BorrowedFd<'_>) -> Option<u16> {
    Some(inet(&getsockname(socket).ok()?)?.port())
}

/// The effective settings of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Effective {
    /// `SO_KEEPALIVE` is on.
    pub(super) enabled: bool,
    pub(super) keepalive: Keepalive,
}

/// Reads the effective settings.
pub(super) fn effective(socket: BorrowedFd<'_>) -> Result<Effective> {
    Ok(Effective {
        enabled: sockopt::socket_keepalive(socket)?,
        keepalive: Keepalive {
            idle_s: seconds(sockopt::tcp_keepidle(socket)?),
            interval_s: seconds(sockopt::tcp_keepintvl(socket)?),
            probes: sockopt::tcp_keepcnt(socket)?,
            // Multipath TCP has none.
            user_timeout_ms: sockopt::tcp_user_timeout(socket).unwrap_or(0),
        },
    })
}

impl Effective {
    /// The application's own settings. A value that equals the namespace's default counts as not set.
    pub(super) fn own(&self, sysctl: &Sysctl) -> Own {
        let chosen = |value, default| if value == default { 0 } else { value };
        Own {
            enabled: self.enabled,
            idle_s: chosen(self.keepalive.idle_s, sysctl.idle_s),
            interval_s: chosen(self.keepalive.interval_s, sysctl.interval_s),
            probes: chosen(self.keepalive.probes, sysctl.probes),
            user_timeout_ms: self.keepalive.user_timeout_ms,
        }
    }

    /// Whether it is what was set by `applied`. A user timeout that was left
    /// alone does not count.
    pub(super) const fn is(&self, applied: &Keepalive) -> bool {
        self.enabled && applied.is(&self.keepalive)
    }

    /// The option that is not what was just set, where that leaves the
    /// connection idle for longer.
    pub(super) fn slower_than(&self, applied: &Keepalive) -> Option<RefusedOption> {
        let options = [
            (stats::OPTION_KEEPALIVE, !self.enabled),
            (stats::OPTION_IDLE, self.keepalive.idle_s > applied.idle_s),
            (stats::OPTION_INTERVAL, self.keepalive.interval_s > applied.interval_s),
        ];
        let (option, _) = options.into_iter().find(|(_, is_slower)| *is_slower)?;
        Some(RefusedOption { option: stats::OPTION_NAMES[usize::from(option)], errno: OVERRULED })
    }
}

/// Sets all parameters, up to the first one that is refused.
///
/// The switch comes first and the idle time last: only setting the idle time of a socket that has keepalive on counts
/// the time it was idle so far, where the switch would start to count from now (`tcp_sock_set_keepidle_locked` and
/// `tcp_set_keepalive` in `net/ipv4`).
pub(super) fn apply(socket: BorrowedFd<'_>, keepalive: &Keepalive) -> std::result::Result<(), RefusedOption> {
    set(stats::OPTION_KEEPALIVE, sockopt::set_socket_keepalive(socket, true))?;
    set(stats::OPTION_INTERVAL, sockopt::set_tcp_keepintvl(socket, duration(keepalive.interval_s)))?;
    set(stats::OPTION_PROBES, sockopt::set_tcp_keepcnt(socket, keepalive.probes))?;
    if keepalive.user_timeout_ms != 0 {
        set(stats::OPTION_USER_TIMEOUT, sockopt::set_tcp_user_timeout(socket, keepalive.user_timeout_ms))?;
    }
    set(stats::OPTION_IDLE, sockopt::set_tcp_keepidle(socket, duration(keepalive.idle_s)))
}

/// Resets a socket to what it had `before` it got `applied`.
pub(super) fn restore(
    socket: BorrowedFd<'_>,
    was_enabled: bool,
    before: &Keepalive,
    applied: &Keepalive,
) -> std::result::Result<(), RefusedOption> {
    set(stats::OPTION_KEEPALIVE, sockopt::set_socket_keepalive(socket, was_enabled))?;
    set(stats::OPTION_INTERVAL, sockopt::set_tcp_keepintvl(socket, duration(before.interval_s)))?;
    set(stats::OPTION_PROBES, sockopt::set_tcp_keepcnt(socket, before.probes))?;
    if applied.user_timeout_ms != 0 {
        set(stats::OPTION_USER_TIMEOUT, sockopt::set_tcp_user_timeout(socket, before.user_timeout_ms))?;
    }
    set(stats::OPTION_IDLE, sockopt::set_tcp_keepidle(socket, duration(before.idle_s)))
}

/// Switches keepalive off.
pub(super) fn switch_off(socket: BorrowedFd<'_>) -> std::result::Result<(), RefusedOption> {
    set(stats::OPTION_KEEPALIVE, sockopt::set_socket_keepalive(socket, false))
}

/// An address and port, if it is one of IP.
pub(super) fn inet(address: &SocketAddrAny) -> Option<SocketAddr> {
    SocketAddr::try_from(address.clone()).ok()
}

fn set(option: u8, result: Result<()>) -> std::result::Result<(), RefusedOption> {
    result.map_err(|errno| RefusedOption {
        option: stats::OPTION_NAMES[usize::from(option)],
        errno: errno.raw_os_error(),
    })
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

const fn duration(seconds: u32) -> Duration {
    Duration::from_secs(seconds as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINUX: Sysctl = Sysctl { idle_s: 7200, interval_s: 75, probes: 9 };

    #[test]
    fn defaults_are_no_choice() {
        let default = Keepalive { idle_s: 7200, interval_s: 75, probes: 9, user_timeout_ms: 0 };
        assert_eq!(Effective { enabled: false, keepalive: default }.own(&LINUX), Own::default());
        let chosen = Effective { enabled: true, keepalive: Keepalive { idle_s: 60, user_timeout_ms: 5, ..default } };
        let expected = Own { enabled: true, idle_s: 60, user_timeout_ms: 5, ..Own::default() };
        assert_eq!(chosen.own(&LINUX), expected);
    }

    #[test]
    fn set_values_are_compared_with_effective_ones() {
        let ours = Keepalive { idle_s: 41, interval_s: 5, probes: 9, user_timeout_ms: 0 };
        let table = [
            (true, ours, true, None),
            (true, Keepalive { user_timeout_ms: 20_000, ..ours }, true, None),
            (false, ours, false, Some("SO_KEEPALIVE")),
            (true, Keepalive { idle_s: 240, ..ours }, false, Some("TCP_KEEPIDLE")),
            (true, Keepalive { interval_s: 30, ..ours }, false, Some("TCP_KEEPINTVL")),
            (true, Keepalive { idle_s: 20, ..ours }, false, None),
        ];
        for (enabled, keepalive, is_ours, slower) in table {
            let effective = Effective { enabled, keepalive };
            assert_eq!(effective.is(&ours), is_ours, "{keepalive:?}");
            assert_eq!(effective.slower_than(&ours).map(|refused| refused.option), slower, "{keepalive:?}");
        }
    }
}
