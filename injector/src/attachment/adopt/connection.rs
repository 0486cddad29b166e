//! One socket: its own settings, the decision, and its record.

use std::{os::fd::BorrowedFd, time::Duration};

use injector_common::{
    applied::{Applied, GUARDED, LEFT_ALONE, SWITCHED_ON},
    conflict::RESPECT,
    keepalive::{Action, FlowPolicy, Keepalive, Own, Sysctl, choose, unfitted},
    record::{ADOPTED, Endpoints, FlowRecord, LISTENER, Seen},
    stats::{EXEMPT, FAILED, INJECTED, NO_STORAGE, RESPECTED, TIGHTENED},
};
use rustix::{
    net::{getpeername, getsockname, sockopt},
    time::{ClockId, clock_gettime},
};

use super::{
    AdoptDefault,
    options::{self, Effective, RefusedOption},
};
use crate::{
    bpf::{Attached, TcpInfo},
    host::endpoint::words,
};

/// The context of a socket.
pub(super) struct Context {
    pub(super) sysctl: Sysctl,
    /// The effect of other attachments on it.
    pub(super) nested: OtherAttachments,
    /// [`ACTIVE`] or [`PASSIVE`].
    ///
    /// [`ACTIVE`]: injector_common::stats::ACTIVE
    /// [`PASSIVE`]: injector_common::stats::PASSIVE
    pub(super) direction: u8,
    /// The cgroup it was made in, or else that of its process.
    pub(super) cgroup_id: u64,
    pub(super) by_default: AdoptDefault,
}

/// The effect of other attachments on a socket.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OtherAttachments {
    /// Another one covers it.
    is_covered: bool,
    /// Its effective values were set by one.
    is_set: bool,
}

impl OtherAttachments {
    /// As their records have it.
    pub(super) fn of(others: &[Attached], socket: BorrowedFd<'_>) -> Self {
        let Ok(effective) = options::effective(socket) else { return Self::default() };
        let records = || others.iter().filter_map(|other| other.record(socket).ok().flatten());
        Self {
            is_covered: records().next().is_some(),
            is_set: records()
                .any(|FlowRecord { applied, .. }| applied.idle_s != 0 && effective.is(&applied.keepalive())),
        }
    }
}

/// The outcome of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treated {
    /// It had a record that needs no change.
    Known,
    /// From [`injector_common::stats`].
    Outcome(u8),
    Refused(RefusedOption),
    /// It was closed by its process meanwhile.
    Gone,
}

/// Treats a connection and gives it a record. An error is this socket's alone.
///
/// One that has a record is treated again where the present policy decides otherwise, or where the effective values are
/// not those that were set. Only an application's later choice is kept, if the policy respects those.
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
    let Ok(effective) = options::effective(socket) else { return Ok(Treated::Gone) };
    let before = attached.record(socket)?;
    let Some(endpoints) = endpoints(socket) else { return Ok(Treated::Gone) };
    let direction = before.map_or(context.direction, |record| record.direction);
    let (choice, policy, adopt) = attached.choose(&endpoints, direction, context.cgroup_id)?;
    if before.is_none() && !context.by_default.adopts(adopt) {
        return Ok(Treated::Outcome(EXEMPT));
    }
    let Some(own) = own(before.as_ref(), &effective, &policy, context) else { return Ok(Treated::Known) };
    let (outcome, mut applied) = decide(&policy, &own, context);
    if outcome == EXEMPT {
        return Ok(Treated::Outcome(EXEMPT));
    }
    if attached.has_guard() {
        applied.marks |= GUARDED;
    }
    let keepalive = applied.keepalive();
    // Switched on by us, before the application's user timeout left no room.
    let must_switch_off = applied.has(LEFT_ALONE) && effective.enabled;
    let stays = |record: FlowRecord| {
        outcome == RESPECTED || record.applied.keepalive() == keepalive && effective.is(&keepalive)
    };
    if !must_switch_off && before.is_some_and(stays) {
        return Ok(Treated::Known);
    }
    let record = FlowRecord {
        applied,
        outcome,
        choice,
        ..before.unwrap_or_else(|| FlowRecord {
            cookie: sockopt::socket_cookie(socket).unwrap_or(0),
            opened_ns: opened_ns(info),
            seen: Seen::adopted(now(ClockId::Boottime), now(ClockId::Monotonic)),
            origin: ADOPTED,
            direction,
            endpoints,
            ..FlowRecord::default()
        })
    };
    // Before anything is set: the guard uses the record. One that the socket
    // got meanwhile, when its connection was established, stays.
    if !attached.remember(socket, record, before.is_none())? {
        return Ok(Treated::Known);
    }
    let treated = if must_switch_off {
        options::switch_off(socket).map_or_else(Treated::Refused, |()| Treated::Outcome(outcome))
    } else {
        set(socket, outcome, &keepalive)
    };
    // Once more: the guard takes our own calls for the application's.
    let outcome = if matches!(treated, Treated::Refused(_)) { FAILED } else { outcome };
    attached.remember(socket, FlowRecord { outcome, ..record }, false)?;
    Ok(treated)
}

/// The application's own settings; `None` where they are kept under any policy.
fn own(before: Option<&FlowRecord>, effective: &Effective, policy: &FlowPolicy, context: &Context) -> Option<Own> {
    let Some(record) = before else { return Some(effective.own(&context.sysctl)) };
    let applied = &record.applied;
    let is_ours = effective.is(&applied.keepalive());
    let user_timeout_ms = if applied.user_timeout_ms == 0 { effective.keepalive.user_timeout_ms } else { 0 };
    match record.outcome {
        // The rules of others count as well, and are not known here.
        _ if is_ours && context.nested.is_covered => Some(effective.own(&Sysctl::default())),
        INJECTED if is_ours => Some(Own { user_timeout_ms, ..Own::default() }),
        // Set by the application since.
        INJECTED | TIGHTENED if !is_ours && policy.conflict == RESPECT => None,
        // Which of its values were the application's is no longer known: none
        // of them is loosened. What its user timeout had shortened comes back.
        TIGHTENED if is_ours => Some(Own {
            enabled: !applied.has(SWITCHED_ON),
            idle_s: applied.unfitted_idle_s.into(),
            interval_s: applied.unfitted_interval_s.into(),
            probes: effective.keepalive.probes,
            user_timeout_ms,
        }),
        _ if applied.has(LEFT_ALONE) => Some(effective.own(&context.sysctl)),
        _ => Some(effective.own(&Sysctl::default())),
    }
}

/// Treats a listener, for the connections that it will accept, and records what it had before.
pub(super) fn treat_listener(attached: &mut Attached, socket: BorrowedFd<'_>, context: &Context) -> Treated {
    try_treat_listener(attached, socket, context).unwrap_or_else(|error| {
        tracing::warn!("not adopted, a listener of {}: {error:#}", attached.name());
        Treated::Outcome(NO_STORAGE)
    })
}

fn try_treat_listener(attached: &mut Attached, socket: BorrowedFd<'_>, context: &Context) -> anyhow::Result<Treated> {
    let Ok(effective) = options::effective(socket) else { return Ok(Treated::Gone) };
    let (policy, adopt) = attached.choose_anywhere(context.cgroup_id)?;
    if !context.by_default.adopts(adopt) {
        return Ok(Treated::Outcome(EXEMPT));
    }
    let known = attached.record(socket)?;
    let before = match &known {
        Some(record) if record.origin == LISTENER && effective.is(&record.applied.keepalive()) => {
            let (enabled, keepalive) = record.endpoints.before_adoption();
            Effective { enabled, keepalive }
        }
        _ => effective,
    };
    let (outcome, applied) = decide(&policy, &before.own(&context.sysctl), context);
    if !matches!(outcome, INJECTED | TIGHTENED) {
        return Ok(Treated::Outcome(outcome));
    }
    if effective.is(&applied.keepalive()) {
        return Ok(Treated::Known);
    }
    let endpoints = Endpoints::of_listener(before.enabled, &before.keepalive);
    let record = FlowRecord { applied, outcome, origin: LISTENER, endpoints, ..FlowRecord::default() };
    attached.remember(socket, record, known.is_none())?;
    Ok(set(socket, outcome, &applied.keepalive()))
}

/// An outcome from [`injector_common::stats`], and what is to be set, if that is
/// [`INJECTED`] or [`TIGHTENED`].
pub(super) fn decide(policy: &FlowPolicy, own: &Own, context: &Context) -> (u8, Applied) {
    let Context { sysctl, nested, .. } = context;
    let unfitted = unfitted(policy, own, sysctl, nested.is_covered);
    let marks = Applied::marks_of(own, nested.is_covered);
    match choose(policy, own, sysctl, nested.is_covered, &unfitted) {
        Action::Exempt => (EXEMPT, Applied::default()),
        Action::Respect => (RESPECTED, Applied::found(own, sysctl, &unfitted, nested.is_set, marks)),
        Action::Inject(keepalive) => (INJECTED, Applied::new(&keepalive, &unfitted, marks)),
        Action::Tighten(keepalive) => (TIGHTENED, Applied::new(&keepalive, &unfitted, marks)),
    }
}

/// Sets what was decided and reads it back: a program on the cgroup may have changed it.
pub(super) fn set(socket: BorrowedFd<'_>, outcome: u8, keepalive: &Keepalive) -> Treated {
    if !matches!(outcome, INJECTED | TIGHTENED) {
        return Treated::Outcome(outcome);
    }
    if let Err(refused) = options::apply(socket, keepalive) {
        return Treated::Refused(refused);
    }
    match options::effective(socket) {
        Ok(effective) => effective.slower_than(keepalive).map_or(Treated::Outcome(outcome), Treated::Refused),
        Err(_) => Treated::Gone,
    }
}

pub(super) fn endpoints(socket: BorrowedFd<'_>) -> Option<Endpoints> {
    let (local_address, local_port) = words(options::inet(&getsockname(socket).ok()?)?);
    let (peer_address, peer_port) = words(options::inet(&getpeername(socket).ok()??)?);
    Some(Endpoints { local_address, peer_address, local_port, peer_port })
}

/// On the programs' own clock, which goes on while the machine is suspended.
fn opened_ns(info: &TcpInfo) -> u64 {
    let now = now(ClockId::Boottime);
    // Read after the clock: any delay makes it older.
    now.saturating_sub(u64::try_from(info.known_for().as_nanos()).unwrap_or(u64::MAX))
}

/// A clock in nanoseconds.
fn now(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let now = Duration::new(now.tv_sec.cast_unsigned(), u32::try_from(now.tv_nsec).unwrap_or(0));
    u64::try_from(now.as_nanos()).unwrap_or(0)
}
