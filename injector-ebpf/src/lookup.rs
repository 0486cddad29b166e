//! Which limits apply to a flow.

use injector_common::{
    decision::{BY_CGROUP, Best, EXEMPTED, FALLBACK, LOOKUPS, Selection, key},
    keepalive::FlowPolicy,
    opaque::Opaque as _,
    record::{Endpoints, FlowRecord},
    stats::PASSIVE,
};

use crate::{maps, tcp_sock::TcpSock};

/// Looks the flow up. Lookups that can find nothing are no instructions either:
/// to the verifier they are dead code.
#[inline(always)]
pub fn choose(endpoints: &Endpoints, direction: u8, cgroup_id: u64) -> Best {
    let set = if by_cgroup() { maps::set_of(cgroup_id) } else { 0 };
    let is_local = endpoints.are_local();
    let mut best = Best::NONE;
    for lookup in LOOKUPS {
        if maps::lookups() & lookup != 0
            && let Some(index) = maps::rule(key(lookup, endpoints, direction == PASSIVE, set))
            && let Some(decision) = maps::decision(index)
        {
            best.consider(index, decision, is_local);
            best = best.opaque();
        }
    }
    best
}

/// Whether rules depend on the cgroup of a flow.
#[inline(always)]
pub fn by_cgroup() -> bool {
    maps::lookups() & BY_CGROUP != 0
}

/// The socket's cgroup, where that matters.
#[inline(always)]
pub fn cgroup_of(tcp: Option<TcpSock>) -> u64 {
    if by_cgroup()
        && let Some(tcp) = tcp
    {
        tcp.cgroup_id().unwrap_or(0)
    } else {
        0
    }
}

/// Whether the choice in a record was made by these rules.
#[inline(always)]
pub fn is_current(record: &FlowRecord) -> bool {
    record.generation == maps::generation()
}

/// The choice in a record, made again where it was made by other rules; and whose limit counts where the flow is
/// half-closed.
#[inline(always)]
pub fn of(record: &mut FlowRecord, tcp: TcpSock, is_half_closed: bool) -> (Selection, u32) {
    let mut half_closed = FALLBACK;
    if is_half_closed || !is_current(record) {
        let best = choose(&record.endpoints, record.direction, cgroup_of(Some(tcp)));
        record.choice = best.choice;
        record.generation = maps::generation();
        half_closed = best.half_closed;
    }
    (record.choice, half_closed)
}

/// Whether a policy leaves the flow alone.
#[inline(always)]
pub fn is_exempt(choice: &Selection) -> bool {
    choice.instead != FALLBACK
        && maps::decision(choice.instead).is_some_and(|decision| decision.instead.mode == EXEMPTED)
}

/// The policy that a choice leads to.
#[inline(always)]
pub fn policy(choice: &Selection) -> Option<FlowPolicy> {
    let limit = maps::decision(choice.limit)?;
    if choice.instead == FALLBACK {
        return Some(limit.policy);
    }
    Some(maps::decision(choice.instead)?.instead.of(&limit.policy))
}
