//! The options of a socket that injector reads and sets.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_getsockopt, bpf_setsockopt};
use injector_common::stats;

const SOL_SOCKET: i32 = 1;
const SO_KEEPALIVE: i32 = 9;
const IPPROTO_TCP: i32 = 6;
const TCP_KEEPIDLE: i32 = 4;
const TCP_KEEPINTVL: i32 = 5;
const TCP_KEEPCNT: i32 = 6;
const TCP_USER_TIMEOUT: i32 = 18;
/// All these options take an int.
pub const SIZE: i32 = 4;

/// The index in [`stats::OPTION_NAMES`] of an option that we set.
#[inline(always)]
pub fn index(level: i32, name: i32) -> Option<u8> {
    match (level, name) {
        (SOL_SOCKET, SO_KEEPALIVE) => Some(stats::OPTION_KEEPALIVE),
        (IPPROTO_TCP, TCP_KEEPIDLE) => Some(stats::OPTION_IDLE),
        (IPPROTO_TCP, TCP_KEEPINTVL) => Some(stats::OPTION_INTERVAL),
        (IPPROTO_TCP, TCP_KEEPCNT) => Some(stats::OPTION_PROBES),
        (IPPROTO_TCP, TCP_USER_TIMEOUT) => Some(stats::OPTION_USER_TIMEOUT),
        _ => None,
    }
}

#[inline(always)]
const fn name(option: u8) -> (i32, i32) {
    match option {
        stats::OPTION_KEEPALIVE => (SOL_SOCKET, SO_KEEPALIVE),
        stats::OPTION_IDLE => (IPPROTO_TCP, TCP_KEEPIDLE),
        stats::OPTION_INTERVAL => (IPPROTO_TCP, TCP_KEEPINTVL),
        stats::OPTION_PROBES => (IPPROTO_TCP, TCP_KEEPCNT),
        _ => (IPPROTO_TCP, TCP_USER_TIMEOUT),
    }
}

/// Sets one option, named by its index in [`stats::OPTION_NAMES`]. `socket` is
/// what the kind of program has for one: its context, or the socket. Errors
/// with the errno.
#[inline(always)]
pub fn set(socket: *mut c_void, option: u8, value: u32) -> Result<(), u32> {
    let (level, name) = name(option);
    let mut value = value;
    // SAFETY: all these options take an int, and the helper only reads it.
    let result = unsafe { bpf_setsockopt(socket, level, name, (&raw mut value).cast(), SIZE) };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a negated errno")]
    if result == 0 { Ok(()) } else { Err(-result as u32) }
}

/// Reads one option, likewise. Since 6.1.
#[inline(always)]
pub fn get(socket: *mut c_void, option: u8) -> Option<u32> {
    let (level, name) = name(option);
    let mut value = 0_u32;
    // SAFETY: all these options are an int, which there is room for.
    let result = unsafe { bpf_getsockopt(socket, level, name, (&raw mut value).cast(), SIZE) };
    if result == 0 { Some(value) } else { None }
}
