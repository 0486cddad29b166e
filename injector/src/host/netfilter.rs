//! How long connection tracking and IP virtual servers of this network namespace
//! keep a connection that one side has ended.
#![expect(unsafe_code, reason = "a socket option that no safe wrapper offers")]

use std::{io, os::fd::AsRawFd as _, time::Duration};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::sysctl::sysctl;

/// States that a half-closed connection passes in connection tracking: a FIN was
/// seen, and its acknowledgement.
const CONNTRACK: [&str; 2] =
    ["net.netfilter.nf_conntrack_tcp_timeout_fin_wait", "net.netfilter.nf_conntrack_tcp_timeout_close_wait"];

/// `IP_VS_SO_GET_TIMEOUT` in `include/uapi/linux/ip_vs.h`.
const IP_VS_SO_GET_TIMEOUT: i32 = 64 + 1024 + 64 + 6;
/// `IP_VS_TCP_S_CLOSE_WAIT` in `tcp_timeouts` of
/// `net/netfilter/ipvs/ip_vs_proto_tcp.c`; nothing can set it.
const IP_VS_CLOSE_WAIT_S: u64 = 60;

/// ```c
/// struct ip_vs_timeout_user { int tcp_timeout; int tcp_fin_timeout; int udp_timeout; };
/// ```
///
/// All in seconds.
#[derive(Default, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
struct IpvsTimeouts {
    established: i32,
    fin_wait: i32,
    udp: i32,
}

/// The shortest of connection tracking; `None` where it is not loaded.
pub(crate) fn conntrack_half_closed() -> Option<Duration> {
    CONNTRACK.into_iter().filter_map(sysctl).min().map(Duration::from_secs)
}

/// The shortest of IPVS; `None` where it is not loaded or we lack
/// `CAP_NET_ADMIN`.
pub(crate) fn ipvs_half_closed() -> Option<Duration> {
    let fin_wait_s = u64::try_from(ipvs_timeouts().ok()?.fin_wait).ok()?;
    Some(Duration::from_secs(fin_wait_s.min(IP_VS_CLOSE_WAIT_S)))
}

fn ipvs_timeouts() -> io::Result<IpvsTimeouts> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let mut timeouts = IpvsTimeouts::default();
    let mut length = libc::socklen_t::try_from(size_of::<IpvsTimeouts>()).map_err(io::Error::other)?;
    // SAFETY: the structure is the one that this option fills, of the length that is given.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            IP_VS_SO_GET_TIMEOUT,
            (&raw mut timeouts).cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(timeouts) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_loaded_has_a_limit() {
        let is_tracked = CONNTRACK.into_iter().any(|name| sysctl::<u64>(name).is_some());
        assert_eq!(conntrack_half_closed().is_some(), is_tracked);
        // Without the module the kernel knows no such option; without the capability it refuses.
        match ipvs_timeouts() {
            Ok(timeouts) => assert!(timeouts.established > 0 && timeouts.fin_wait > 0),
            Err(error) => assert!(matches!(error.raw_os_error(), Some(libc::ENOPROTOOPT | libc::EPERM)), "{error}"),
        }
    }
}
