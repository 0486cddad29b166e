//! Multipath TCP sockets: their keepalive is set, and they get no record.
//!
//! The socket of the process passes options on to the connections beneath, which no process has a descriptor of, so
//! that they can't be given records: they are protected, and not watched. Kernels differ in what such sockets take.

use std::os::fd::BorrowedFd;

use super::{
    connection::{self, Context, Treated},
    options,
};
use crate::{
    bpf::{Attached, TcpInfo},
    host::sockets::LISTEN,
};
use injector_common::stats::EXEMPT;

/// Treats a connection, or a listener, which does get a record: nothing beneath
/// it carries data.
pub(super) fn treat(attached: &mut Attached, socket: BorrowedFd<'_>, info: &TcpInfo, context: &Context) -> Treated {
    let Ok(effective) = options::effective(socket) else { return Treated::Refused(options::TIMES_REFUSED) };
    if info.state == LISTEN {
        return connection::treat_listener(attached, socket, context);
    }
    let Some(endpoints) = connection::endpoints(socket) else { return Treated::Gone };
    match attached.choose(&endpoints, context.direction, context.cgroup_id) {
        Ok((_, policy, adopt)) if context.by_default.adopts(adopt) => {
            let (outcome, applied) = connection::decide(&policy, &effective.own(&context.sysctl), context);
            let keepalive = applied.keepalive();
            if effective.is(&keepalive) { Treated::Known } else { connection::set(socket, outcome, &keepalive) }
        }
        _ => Treated::Outcome(EXEMPT),
    }
}
