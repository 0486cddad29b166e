//! Sockets that were there before anything was attached.
//!
//! Each is taken from its process by `pidfd_getfd` (5.6+), one at a time, and
//! treated by the rules that new ones are treated by. The process is not
//! stopped and notices nothing. `CAP_SYS_PTRACE` is needed for processes of
//! other users or with more privileges than ours.

mod connection;
mod defaults;
mod holders;
mod options;
mod probe;
mod report;

use std::{collections::HashSet, os::fd::AsFd as _};

use injector_common::{
    decision::{ADOPT, LEAVE},
    record::state,
};
pub use probe::probe;
pub use report::Report;

use self::{
    defaults::Defaults,
    holders::{Holder, Look},
};
use crate::bpf::{Attached, pins::Lock, tcp_info};

/// A socket may be handed from a process we have not looked at to one we have.
/// Each pass finds what moved during the one before.
const MAX_PASSES: usize = 3;

/// `TCP_LISTEN` in `include/net/tcp_states.h`.
const LISTEN: u8 = 10;

/// Which sockets to adopt where no policy says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unless {
    /// All of them.
    ToldNot,
    /// None of them.
    Told,
}

impl Unless {
    const fn adopts(self, policy: u32) -> bool {
        match policy {
            ADOPT => true,
            LEAVE => false,
            _ => matches!(self, Self::ToldNot),
        }
    }
}

/// Adopts the TCP sockets of all processes in the attachment's cgroup and the
/// cgroups below it, whatever cgroup the sockets themselves belong to.
///
/// The lock is that of [`crate::bpf::pins::lock_for_adopting`].
pub fn adopt(attached: &mut Attached, unless: Unless, _lock: &Lock) -> anyhow::Result<Report> {
    let mut pass =
        Pass { attached, unless, seen: HashSet::new(), defaults: Defaults::default(), report: Report::default() };
    for _ in 0..MAX_PASSES {
        let (seen, treated) = (pass.seen.len(), pass.report.treated());
        pass.run()?;
        if pass.report.treated() != treated {
            pass.attached.pins().touch();
        }
        if pass.seen.len() == seen {
            break;
        }
    }
    Ok(pass.report)
}

struct Pass<'a> {
    attached: &'a mut Attached,
    unless: Unless,
    /// Inode numbers of the sockets that were handled: a socket may be held by
    /// many processes.
    seen: HashSet<u64>,
    defaults: Defaults,
    report: Report,
}

impl Pass<'_> {
    fn run(&mut self) -> anyhow::Result<()> {
        self.report.begin_pass();
        for holder in holders::below(&self.attached.cgroup_path())? {
            match holder {
                Look::At(holder) => self.process(&holder),
                Look::Denied(denied) => self.report.denied.push(denied),
                Look::Ended => self.report.ended += 1,
            }
        }
        Ok(())
    }

    fn process(&mut self, holder: &Holder) {
        self.report.processes += 1;
        for (number, inode) in holder.sockets() {
            if self.seen.contains(&inode) {
                continue;
            }
            match holder.take(number) {
                Look::At(socket) => {
                    if self.seen.insert(socket.inode) {
                        self.socket(holder, &socket);
                    }
                }
                Look::Denied(denied) => {
                    self.report.denied.push(denied);
                    break;
                }
                // The process, or this descriptor of it.
                Look::Ended => {}
            }
        }
    }

    /// Listeners hand their options on to what they accept. What is not
    /// connected yet is seen when it will be.
    fn socket(&mut self, holder: &Holder, socket: &holders::Socket) {
        if !options::is_tcp(socket.as_fd()) {
            return;
        }
        let Ok(info) = tcp_info(socket.as_fd()) else { return };
        let context = connection::Context {
            sysctl: self.defaults.of(holder),
            cgroup_id: holder.cgroup_id,
            unless: self.unless,
            is_listened_on: self.defaults.is_listened_on(holder, socket.as_fd()),
        };
        if info.state == LISTEN {
            let treated = connection::treat_listener(self.attached, socket.as_fd(), &context);
            self.report.listener(treated);
        } else if state::is_live(info.state) {
            let treated = connection::treat(self.attached, socket.as_fd(), &info, &context);
            self.report.flow(treated);
        }
    }
}
