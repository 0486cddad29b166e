//! The `guard` program: an application's own keepalive calls, where the policy
//! does not simply let them stand.

use aya_ebpf::{helpers::generated::bpf_get_current_cgroup_id, programs::SockoptContext};
use injector_common::{
    conflict::overrule,
    decision::{FALLBACK, Selection},
    keepalive::FlowPolicy,
    record::Endpoints,
    stats,
};

use crate::{lookup, maps, sk_storage, sock_ops};

/// The kernel copies at most a page of the value for us. Larger ones are left
/// to it by saying so.
const MAX_COPIED: i32 = 4096;
const IPPROTO_TCP: u32 = 6;
/// Multipath TCP hands the options of its socket on to the connections beneath.
const IPPROTO_MPTCP: u32 = 262;
/// All keepalive options take an int.
const VALUE_SIZE: i32 = 4;

/// Replaces the value of a keepalive option where the policy says so. Every
/// other call passes untouched.
#[inline(always)]
pub fn setsockopt(ctx: &SockoptContext) {
    if let Some(option) = keepalive_option(ctx) {
        replace(ctx, option);
    }
    // SAFETY: a context member that may be written; 0 has the kernel use the
    // caller's own buffer.
    unsafe {
        if (*ctx.sockopt).optlen > MAX_COPIED {
            (*ctx.sockopt).optlen = 0;
        }
    }
}

/// The index in [`stats::OPTION_NAMES`], for TCP sockets.
#[inline(always)]
fn keepalive_option(ctx: &SockoptContext) -> Option<u8> {
    // SAFETY: context members; the kernel always gives the socket.
    let (level, name, protocol) = unsafe {
        let socket = (*ctx.sockopt).__bindgen_anon_1.sk;
        ((*ctx.sockopt).level, (*ctx.sockopt).optname, (*socket).protocol)
    };
    if protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP { sock_ops::option_index(level, name) } else { None }
}

/// That of the socket's flow. Where there is none, yet or at all, that of flows
/// to nowhere in particular.
#[inline(always)]
fn policy(ctx: &SockoptContext) -> Option<FlowPolicy> {
    // SAFETY: a context member; the kernel always gives the socket.
    let record = sk_storage::find(unsafe { (*ctx.sockopt).__bindgen_anon_1.sk });
    // SAFETY: points to this socket's record.
    let choice = match record.map(|record| unsafe { &*record }) {
        Some(record) if lookup::is_current(record) => record.choice,
        Some(record) => lookup::choose(&record.endpoints, record.direction, cgroup_id()),
        None => Selection { limit: FALLBACK, ..lookup::choose(&Endpoints::default(), stats::ACTIVE, cgroup_id()) },
    };
    lookup::policy(&choice)
}

/// The caller's cgroup, where that matters: the socket's own can't be had here.
#[inline(always)]
fn cgroup_id() -> u64 {
    // SAFETY: has no preconditions.
    if lookup::by_cgroup() { unsafe { bpf_get_current_cgroup_id() } } else { 0 }
}

#[inline(always)]
fn replace(ctx: &SockoptContext, option: u8) {
    // SAFETY: context members, which the verifier knows as the bounds of the
    // copied value.
    let (value, end, length) = unsafe {
        (
            (*ctx.sockopt).__bindgen_anon_2.optval.cast::<i32>(),
            (*ctx.sockopt).__bindgen_anon_3.optval_end.cast::<i32>(),
            (*ctx.sockopt).optlen,
        )
    };
    // A shorter value gets its error from the kernel. The buffer alone does not
    // tell: it is longer than what the caller gave.
    if length < VALUE_SIZE || value.wrapping_add(1) > end {
        return;
    }
    // SAFETY: four bytes are there, as just checked; BPF loads need no
    // alignment beyond what the kernel's buffer has.
    unsafe {
        if let Some(policy) = policy(ctx)
            && let Some(ours) = overrule(&policy, option, value.read())
        {
            value.write(ours);
            // What we wrote, however long the caller's value was.
            (*ctx.sockopt).optlen = VALUE_SIZE;
            maps::count(stats::overruled_index(option));
        }
    }
}
