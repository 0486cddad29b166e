//! Multipath TCP sockets: their keepalive is set, and they get no record.
//!
//! The socket of the process hands options on to the connections beneath, which
//! nobody has a descriptor of, so that they can't be given records: they are
//! protected, and not watched. Kernels differ in what such sockets take.

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

/// Treats a connection or a listener.
pub(super) fn treat(attached: &Attached, socket: BorrowedFd<'_>, info: &TcpInfo, context: &Context) -> Treated {
    let Ok(in_force) = options::in_force(socket) else { return Treated::Refused(options::TIMES_REFUSED) };
    let chosen = if info.state == LISTEN {
        attached.choose_anywhere(context.cgroup_id)
    } else {
        let Some(endpoints) = connection::endpoints(socket) else { return Treated::Gone };
        let chosen = attached.choose(&endpoints, context.direction, context.cgroup_id);
        chosen.map(|(_, policy, adopt)| (policy, adopt))
    };
    match chosen {
        Ok((policy, adopt)) if context.unless.adopts(adopt) => {
            let (outcome, applied) = connection::decide(&policy, &in_force.own(&context.sysctl), context);
            let keepalive = applied.keepalive();
            if in_force.is(&keepalive) { Treated::Known } else { connection::set(socket, outcome, &keepalive) }
        }
        _ => Treated::Outcome(EXEMPT),
    }
}
