//! What the `sock_ops` context offers beyond aya's wrapper.

use aya_ebpf::{
    EbpfContext as _,
    bindings::{bpf_sock, bpf_sock_ops},
    helpers::generated::{bpf_get_socket_cookie, bpf_setsockopt},
    programs::SockOpsContext,
};
use injector_common::{
    record::{Endpoints, Seen},
    stats,
};

const AF_INET: u32 = 2;
const SOL_SOCKET: i32 = 1;
const SO_KEEPALIVE: i32 = 9;
const IPPROTO_TCP: i32 = 6;
const TCP_KEEPIDLE: i32 = 4;
const TCP_KEEPINTVL: i32 = 5;
const TCP_KEEPCNT: i32 = 6;
const TCP_USER_TIMEOUT: i32 = 18;
/// All these options take an int.
const OPTION_SIZE: i32 = 4;

/// The index in [`stats::OPTION_NAMES`] of an option that we set.
#[inline(always)]
pub fn option_index(level: i32, name: i32) -> Option<u8> {
    match (level, name) {
        (SOL_SOCKET, SO_KEEPALIVE) => Some(stats::OPTION_KEEPALIVE),
        (IPPROTO_TCP, TCP_KEEPIDLE) => Some(stats::OPTION_IDLE),
        (IPPROTO_TCP, TCP_KEEPINTVL) => Some(stats::OPTION_INTERVAL),
        (IPPROTO_TCP, TCP_KEEPCNT) => Some(stats::OPTION_PROBES),
        (IPPROTO_TCP, TCP_USER_TIMEOUT) => Some(stats::OPTION_USER_TIMEOUT),
        _ => None,
    }
}

/// Sets one option, named by its index in [`stats::OPTION_NAMES`]. Errors with
/// the errno.
#[inline(always)]
pub fn set(ctx: &SockOpsContext, option: u8, value: u32) -> Result<(), u32> {
    let (level, name) = match option {
        stats::OPTION_KEEPALIVE => (SOL_SOCKET, SO_KEEPALIVE),
        stats::OPTION_IDLE => (IPPROTO_TCP, TCP_KEEPIDLE),
        stats::OPTION_INTERVAL => (IPPROTO_TCP, TCP_KEEPINTVL),
        stats::OPTION_PROBES => (IPPROTO_TCP, TCP_KEEPCNT),
        _ => (IPPROTO_TCP, TCP_USER_TIMEOUT),
    };
    let mut value = value;
    // SAFETY: all these options take an int, and the helper only reads it.
    let result = unsafe { bpf_setsockopt(ctx.as_ptr(), level, name, (&raw mut value).cast(), OPTION_SIZE) };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a negated errno")]
    if result == 0 { Ok(()) } else { Err(-result as u32) }
}

/// The socket, which is a full one at the events we own.
#[inline(always)]
pub fn socket(ctx: &SockOpsContext) -> Option<*mut bpf_sock> {
    // SAFETY: the verifier knows the context and turns this into a load of a
    // socket pointer or null.
    let socket = unsafe { (*ctx.ops).__bindgen_anon_2.sk };
    if socket.is_null() { None } else { Some(socket) }
}

/// The kernel's cookie of this socket.
#[inline(always)]
pub fn cookie(ctx: &SockOpsContext) -> u64 {
    // SAFETY: takes the context as it is.
    unsafe { bpf_get_socket_cookie(ctx.as_ptr()) }
}

/// The segment counters at this moment, for the first scan to start from.
#[inline(always)]
pub fn seen(ctx: &SockOpsContext, now_ns: u64) -> Seen {
    // SAFETY: context members of a full socket.
    let (segments_in, segments_out) = unsafe { ((*ctx.ops).segs_in, (*ctx.ops).segs_out) };
    Seen { scanned_ns: now_ns, active_ns: now_ns, segments_in, segments_out }
}

/// Both ends of the connection.
#[inline(always)]
pub fn endpoints(ctx: &SockOpsContext) -> Endpoints {
    let ops = ctx.ops;
    let (local_address, peer_address) = if ctx.family() == AF_INET {
        (mapped(ctx.local_ip4()), mapped(ctx.remote_ip4()))
    } else {
        (local_ip6(ops), peer_ip6(ops))
    };
    #[expect(clippy::cast_possible_truncation, reason = "ports have 16 bits")]
    Endpoints {
        local_address,
        peer_address,
        local_port: ctx.local_port() as u16,
        // The kernel keeps it in network byte order, moved to the upper half.
        peer_port: u32::from_be(ctx.remote_port()) as u16,
    }
}

#[inline(always)]
fn mapped(ip4: u32) -> [u32; 4] {
    [0, 0, 0xffff_u32.to_be(), ip4]
}

/// Word by word: the verifier refuses a copy of the context's array.
#[inline(always)]
fn local_ip6(ops: *mut bpf_sock_ops) -> [u32; 4] {
    // SAFETY: context members, each read as the one word it is.
    unsafe {
        let words = (&raw const (*ops).local_ip6).cast::<u32>();
        [
            words.read_volatile(),
            words.add(1).read_volatile(),
            words.add(2).read_volatile(),
            words.add(3).read_volatile(),
        ]
    }
}

#[inline(always)]
fn peer_ip6(ops: *mut bpf_sock_ops) -> [u32; 4] {
    // SAFETY: context members, each read as the one word it is.
    unsafe {
        let words = (&raw const (*ops).remote_ip6).cast::<u32>();
        [
            words.read_volatile(),
            words.add(1).read_volatile(),
            words.add(2).read_volatile(),
            words.add(3).read_volatile(),
        ]
    }
}
