//! One socket: what it chose, what is done about it, and its record.

use std::{os::fd::BorrowedFd, time::Duration};

use injector_common::{
    keepalive::{Action, FlowPolicy, Keepalive, Own, choose},
    record::{ADOPTED, Endpoints, FlowRecord, Seen},
    stats::{ACTIVE, EXEMPT, FAILED, INJECTED, NO_STORAGE, PASSIVE, RESPECTED, TIGHTENED},
};
use rustix::{
    net::{getpeername, getsockname, sockopt},
    time::{ClockId, clock_gettime},
};

use super::{
    Unless,
    defaults::NamespaceDefaults,
    options::{self, Refused},
};
use crate::{
    bpf::{Attached, TcpInfo},
    host::endpoint::words,
};

/// What is known of a socket's surroundings.
pub(super) struct Context {
    pub(super) sysctl: NamespaceDefaults,
    /// Its port is listened on, so it was accepted there, as a rule.
    pub(super) is_listened_on: bool,
    /// The cgroup of its process, which is the socket's own as a rule.
    pub(super) cgroup_id: u64,
    pub(super) unless: Unless,
}

impl Context {
    const fn direction(&self) -> u8 {
        if self.is_listened_on { PASSIVE } else { ACTIVE }
    }
}

/// What became of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treated {
    /// It had a record that needs no change.
    Known,
    /// From [`injector_common::stats`].
    Outcome(u8),
    Refused(Refused),
    /// It was closed by its process meanwhile.
    Gone,
}

/// Treats a connection and gives it a record. An error is this socket's alone.
///
/// One that has a record is left alone, unless what is in force on it is what
/// an earlier policy had set: then the present policy takes its place.
pub(super) fn treat(attached: &mut Attached, socket: BorrowedFd<'_>, info: &TcpInfo, context: &Context) -> Treated {
    try_treat(attached, socket, info, context).unwrap_or_else(|error| {
        tracing::warn!("not adopted, a connection of {}: {error:#}", attached.name());
        Treated::Outcome(NO_STORAGE)
    })
}

fn try_treat(
    attached: &mut Attached,
    socket: BorrowedFd<'_>,
    info: &TcpInfo,
    context: &Context,
) -> anyhow::Result<Treated> {
    let Ok((enabled, in_force)) = options::in_force(socket) else { return Ok(Treated::Gone) };
    let before = attached.record(socket)?;
    let own = match &before {
        Some(record) if !enabled || record.applied != in_force => return Ok(Treated::Known),
        Some(record) if record.outcome == INJECTED => Own::default(),
        // Which of its values were the application's is no longer known: none
        // of them is loosened.
        Some(_) => options::own(enabled, &in_force, &NamespaceDefaults::default()),
        None => options::own(enabled, &in_force, &context.sysctl),
    };
    let Some(endpoints) = endpoints(socket) else { return Ok(Treated::Gone) };
    let direction = before.map_or(context.direction(), |record| record.direction);
    let (choice, policy, adopt) = attached.choose(&endpoints, direction, context.cgroup_id)?;
    if before.is_none() && !context.unless.adopts(adopt) {
        return Ok(Treated::Outcome(EXEMPT));
    }
    let (treated, applied) = decide(&policy, socket, &own, context);
    let stays = treated == Treated::Outcome(RESPECTED);
    if before.is_some_and(|record| stays || record.applied == applied) {
        return Ok(Treated::Known);
    }
    let record = FlowRecord {
        applied,
        outcome: outcome(treated),
        choice,
        ..before.unwrap_or_else(|| FlowRecord {
            cookie: sockopt::socket_cookie(socket).unwrap_or(0),
            opened_ns: opened_ns(info.known_for),
            // Nothing to compare with yet.
            seen: Seen::default(),
            origin: ADOPTED,
            direction,
            endpoints,
            ..FlowRecord::default()
        })
    };
    // One that it got meanwhile, when its connection was established, stays.
    let is_ours = outcome(treated) == EXEMPT || attached.remember(socket, record, before.is_none())?;
    Ok(if is_ours { treated } else { Treated::Known })
}

/// Treats a listener, for the sake of what it will accept.
pub(super) fn treat_listener(attached: &Attached, socket: BorrowedFd<'_>, context: &Context) -> Treated {
    let Ok((enabled, in_force)) = options::in_force(socket) else { return Treated::Gone };
    let own = options::own(enabled, &in_force, &context.sysctl);
    match attached.choose_anywhere(context.cgroup_id) {
        Ok((policy, adopt)) if context.unless.adopts(adopt) => decide(&policy, socket, &own, context).0,
        _ => Treated::Outcome(EXEMPT),
    }
}

fn decide(policy: &FlowPolicy, socket: BorrowedFd<'_>, own: &Own, context: &Context) -> (Treated, Keepalive) {
    let (outcome, keepalive) = match choose(policy, own, &context.sysctl.sysctl) {
        Action::Exempt => return (Treated::Outcome(EXEMPT), Keepalive::default()),
        Action::Respect => return (Treated::Outcome(RESPECTED), Keepalive::default()),
        Action::Inject(keepalive) => (INJECTED, keepalive),
        Action::Tighten(keepalive) => (TIGHTENED, keepalive),
    };
    match options::apply(socket, &keepalive) {
        Ok(()) => (Treated::Outcome(outcome), keepalive),
        Err(refused) => (Treated::Refused(refused), keepalive),
    }
}

const fn outcome(treated: Treated) -> u8 {
    match treated {
        Treated::Outcome(outcome) => outcome,
        _ => FAILED,
    }
}

fn endpoints(socket: BorrowedFd<'_>) -> Option<Endpoints> {
    let (local_address, local_port) = words(options::inet(&getsockname(socket).ok()?)?);
    let (peer_address, peer_port) = words(options::inet(&getpeername(socket).ok()??)?);
    Some(Endpoints { local_address, peer_address, local_port, peer_port })
}

/// The monotonic clock, which is the programs' own.
fn opened_ns(known_for: Duration) -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let now = Duration::new(now.tv_sec.cast_unsigned(), u32::try_from(now.tv_nsec).unwrap_or(0));
    u64::try_from(now.saturating_sub(known_for).as_nanos()).unwrap_or(0)
}
