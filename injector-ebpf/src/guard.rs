//! The `guard` program: an application's own keepalive calls, where the policy does not simply accept them.
//!
//! It runs at every `setsockopt` of the cgroup, so foreign options leave after two loads and a comparison. Only sockets
//! with a record are treated: before that the establishment decides, by the connection's peer.

use aya_ebpf::{bindings::bpf_sock, helpers::generated::bpf_get_current_cgroup_id, programs::SockoptContext};
use injector_common::{
    applied::{Applied, LEFT_ALONE, SWITCHED_ON, bit},
    conflict::{ENFORCE, Refit, overrule, policy_of, refit},
    decision::{FALLBACK, Selection},
    keepalive::{FlowPolicy, Keepalive},
    opaque::Opaque,
    record::{Endpoints, FlowRecord, state},
    stats,
};

use crate::{lookup, maps, options, sk_storage};

/// The kernel copies at most a page of the value for us. Larger ones are left
/// to it by saying so.
const MAX_COPIED: i32 = 4096;
const IPPROTO_TCP: u32 = 6;
/// Multipath TCP hands the options of its socket on to the connections beneath.
const IPPROTO_MPTCP: u32 = 262;

/// Replaces the value of a keepalive option where the policy says so. Every
/// other call passes untouched.
#[inline(always)]
pub fn setsockopt(ctx: &SockoptContext) {
    // SAFETY: context members.
    let (level, name) = unsafe { ((*ctx.sockopt).level, (*ctx.sockopt).optname) };
    if let Some(option) = options::index(level, name) {
        keepalive_option(ctx, option);
    }
    // SAFETY: a context member that may be written; 0 has the kernel use the
    // caller's own buffer.
    unsafe {
        if (*ctx.sockopt).optlen > MAX_COPIED {
            (*ctx.sockopt).optlen = 0;
        }
    }
}

#[inline(always)]
fn keepalive_option(ctx: &SockoptContext, option: u8) {
    // SAFETY: context members; the kernel always gives the socket.
    let (socket, protocol, state) = unsafe {
        let socket = (*ctx.sockopt).__bindgen_anon_1.sk;
        (socket, (*socket).protocol, (*socket).state)
    };
    #[expect(clippy::cast_possible_truncation, reason = "a dozen states")]
    if !state::is_live(state as u8) {
        return;
    }
    match protocol {
        IPPROTO_TCP => {
            if let Some(record) = sk_storage::find(socket) {
                // SAFETY: points to this socket's record, and the kernel holds
                // the socket's lock.
                of_flow(ctx, option, socket, unsafe { &mut *record });
            }
        }
        IPPROTO_MPTCP => of_multipath(ctx, option),
        _ => {}
    }
}

#[inline(always)]
fn of_flow(ctx: &SockoptContext, option: u8, socket: *mut bpf_sock, record: &mut FlowRecord) {
    let Some(value) = value(ctx) else { return };
    // SAFETY: checked by `value`.
    let asked = unsafe { value.read() };
    let choice = if lookup::is_current(record) {
        record.choice
    } else {
        lookup::choose(&record.endpoints, record.direction, cgroup_id()).choice
    };
    let Some(policy) = lookup::policy(&choice) else { return };
    let user_timeout_ms = read(socket, stats::OPTION_USER_TIMEOUT).unwrap_or(0);
    let overruled = match policy_of(&policy, &record.applied, user_timeout_ms) {
        Some(policy) => overrule(&not_loosened(policy, socket, option), option, asked),
        None => None,
    };
    if let Some(ours) = overruled {
        replace(ctx, value, option, ours);
        record.applied.replace(option, ours.cast_unsigned());
    } else {
        record.applied.asked |= bit(option);
    }
    let user_timeout = overruled.unwrap_or(asked);
    if option == stats::OPTION_USER_TIMEOUT && user_timeout >= 0 && maps::fits() {
        fit(socket, &policy, record, user_timeout.cast_unsigned());
    }
}

/// Even an enforced value does not loosen what another attachment, which has no
/// guard, has brought the socket to.
#[inline(always)]
fn not_loosened(mut policy: FlowPolicy, socket: *mut bpf_sock, option: u8) -> FlowPolicy {
    if policy.conflict != ENFORCE || !matches!(option, stats::OPTION_IDLE | stats::OPTION_INTERVAL) {
        return policy;
    }
    if let Some(effective) = read(socket, option) {
        let both = Keepalive { idle_s: effective, interval_s: effective, ..Keepalive::default() };
        policy.keepalive = policy.keepalive.no_slower_than(&both);
    }
    policy
}

/// Brings the times to where they have room in a user timeout that the
/// application sets.
#[inline(always)]
fn fit(socket: *mut bpf_sock, policy: &FlowPolicy, record: &mut FlowRecord, user_timeout_ms: u32) {
    let (Some(enabled), Some(effective)) = (read(socket, stats::OPTION_KEEPALIVE), effective(socket)) else { return };
    let applied = &mut record.applied;
    match refit(policy, applied, enabled != 0, &effective, user_timeout_ms) {
        Refit::Nothing => {}
        Refit::Set { keepalive, unfitted } => {
            if apply(socket, &keepalive, enabled != 0).is_ok() {
                let marks = if enabled != 0 { applied.marks } else { applied.marks & !LEFT_ALONE | SWITCHED_ON };
                *applied =
                    Applied { asked: bit(stats::OPTION_USER_TIMEOUT), ..Applied::new(&keepalive, &unfitted, marks) };
                if record.outcome == stats::RESPECTED {
                    record.outcome = stats::TIGHTENED;
                }
            }
        }
        Refit::SwitchOff => {
            if set(socket, stats::OPTION_KEEPALIVE, 0).is_ok() {
                applied.marks = applied.marks & !SWITCHED_ON | LEFT_ALONE;
                applied.idle_s = 0;
                applied.interval_s = 0;
                applied.probes = 0;
                applied.user_timeout_ms = 0;
                record.outcome = stats::RESPECTED;
            }
        }
    }
}

#[inline(always)]
fn effective(socket: *mut bpf_sock) -> Option<Keepalive> {
    Some(Keepalive {
        idle_s: read(socket, stats::OPTION_IDLE)?,
        interval_s: read(socket, stats::OPTION_INTERVAL)?,
        probes: read(socket, stats::OPTION_PROBES)?,
        user_timeout_ms: 0,
    })
}

/// The times, and where keepalive is off probes and switch as well.
#[inline(always)]
fn apply(socket: *mut bpf_sock, keepalive: &Keepalive, enabled: bool) -> Result<(), ()> {
    set(socket, stats::OPTION_INTERVAL, keepalive.interval_s)?;
    set(socket, stats::OPTION_IDLE, keepalive.idle_s)?;
    if !enabled {
        set(socket, stats::OPTION_PROBES, keepalive.probes)?;
        set(socket, stats::OPTION_KEEPALIVE, 1)?;
    }
    Ok(())
}

#[inline(always)]
fn set(socket: *mut bpf_sock, option: u8, value: u32) -> Result<(), ()> {
    options::set(socket.cast(), option, value).map_err(|errno| maps::count(stats::failure_index(option, errno)))
}

/// The effective user timeout, where the kernel lets us read it.
#[inline(always)]
fn read(socket: *mut bpf_sock, option: u8) -> Option<u32> {
    if maps::fits() { options::get(socket.cast(), option) } else { None }
}

/// Its sockets have no record: the connections beneath have. The policies that
/// name no place count.
#[inline(always)]
fn of_multipath(ctx: &SockoptContext, option: u8) {
    let Some(value) = value(ctx) else { return };
    let choice = lookup::choose(&anywhere(), stats::ACTIVE, cgroup_id()).choice;
    if let Some(policy) = lookup::policy(&Selection { limit: FALLBACK, ..choice })
        // SAFETY: checked by `value`.
        && let Some(ours) = overrule(&policy, option, unsafe { value.read() })
    {
        replace(ctx, value, option, ours);
    }
}

/// No address in particular. The zeros are opaque, or the compiler would call memset for the keys made of them.
#[inline(always)]
fn anywhere() -> Endpoints {
    Endpoints {
        local_address: [0_u32; 4].map(Opaque::opaque),
        peer_address: [0_u32; 4].map(Opaque::opaque),
        ..Endpoints::default()
    }
}

/// The caller's cgroup, where that matters: the socket's own can't be had here.
#[inline(always)]
fn cgroup_id() -> u64 {
    // SAFETY: has no preconditions.
    if lookup::by_cgroup() { unsafe { bpf_get_current_cgroup_id() } } else { 0 }
}

/// The value that the application gave, four bytes of it. A shorter one gets
/// its error from the kernel; the buffer alone does not show that, as it is
/// longer than the caller's value.
#[inline(always)]
fn value(ctx: &SockoptContext) -> Option<*mut i32> {
    // SAFETY: context members, which the verifier knows as the bounds of the
    // copied value.
    let (value, end, length) = unsafe {
        (
            (*ctx.sockopt).__bindgen_anon_2.optval.cast::<i32>(),
            (*ctx.sockopt).__bindgen_anon_3.optval_end.cast::<i32>(),
            (*ctx.sockopt).optlen,
        )
    };
    if length < options::SIZE || value.wrapping_add(1) > end { None } else { Some(value) }
}

/// Puts our value in the place of the application's.
#[inline(always)]
fn replace(ctx: &SockoptContext, value: *mut i32, option: u8, ours: i32) {
    // SAFETY: four bytes are there, as `value` checked; BPF stores need no
    // alignment beyond what the kernel's buffer has.
    unsafe {
        value.write(ours);
        // What we wrote, however long the caller's value was.
        (*ctx.sockopt).optlen = options::SIZE;
    }
    maps::count(stats::overruled_index(option));
}
