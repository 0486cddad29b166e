//! Adoption of sockets that were opened before the attachment.
//!
//! Each is taken from its process by `pidfd_getfd` (5.6+), one at a time, and
//! treated by the rules that new ones are treated by. The process is not
//! stopped and notices nothing. `CAP_SYS_PTRACE` is needed for processes of
//! other users or with more privileges than ours.

mod connection;
mod holders;
mod multipath;
mod options;
mod probe;
mod release;
mod report;

use std::{collections::HashSet, os::fd::AsFd as _};

use injector_common::{
    decision::{ADOPT, LEAVE},
    record::state,
};
pub(crate) use probe::probe;
pub(crate) use release::release;
pub(crate) use report::Report;

use self::{
    connection::{Context, OtherAttachments},
    holders::{HeldProcess, Look, SharedSocket, boot_ticks},
    options::Protocol,
};
use crate::{
    attachment::census::{Census, pids},
    bpf::{Attached, pins::Lock, tcp_info},
    host::{
        cgroup::{self, Resident},
        sockets::LISTEN,
    },
};

/// A socket may be passed from a process that was not visited yet to one that was. Each pass finds what moved during
/// the one before.
const MAX_PASSES: usize = 3;

/// Which sockets to adopt by default, without a policy that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdoptDefault {
    /// All of them.
    All,
    /// None of them.
    None,
}

impl AdoptDefault {
    const fn adopts(self, policy: u32) -> bool {
        match policy {
            ADOPT => true,
            LEAVE => false,
            _ => matches!(self, Self::All),
        }
    }
}

/// Adopts the TCP sockets of all processes in the attachment's cgroup and the
/// cgroups below it, whatever cgroup the sockets themselves belong to, and the
/// sockets that were made there, whichever process holds them.
///
/// The lock is that of [`crate::bpf::pins::lock_for_adopting`]. `progress` is
/// called with each process: there may be many, with many sockets.
pub(crate) fn adopt(
    attached: &mut Attached,
    by_default: AdoptDefault,
    _lock: &Lock,
    progress: &dyn Fn(),
) -> anyhow::Result<Report> {
    let others = Attached::all()?.attached.into_iter().filter(|other| other.name() != attached.name()).collect();
    let mut pass = Pass {
        attached,
        others,
        by_default,
        progress,
        seen: HashSet::new(),
        census: Census::default(),
        tree: HashSet::new(),
        strangers: HashSet::new(),
        report: Report::default(),
    };
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
    pass.report.processes += pass.strangers.len() as u64;
    Ok(pass.report)
}

struct Pass<'a> {
    attached: &'a mut Attached,
    /// Those that may cover the same sockets.
    others: Vec<Attached>,
    by_default: AdoptDefault,
    progress: &'a dyn Fn(),
    /// Inode numbers of the sockets that were handled: a socket may be held by
    /// many processes.
    seen: HashSet<u64>,
    /// The sockets of this host when the pass began.
    census: Census,
    /// Ids of the attachment's cgroup and of those below it.
    tree: HashSet<u64>,
    /// Processes outside of these that sockets were taken from.
    strangers: HashSet<i32>,
    report: Report,
}

impl Pass<'_> {
    fn run(&mut self) -> anyhow::Result<()> {
        self.report.begin_pass();
        let path = self.attached.cgroup_path();
        self.census = Census::take();
        self.tree = cgroup::ids_below(&path)?;
        let listed_at = boot_ticks();
        let residents = cgroup::residents(&path)?;
        for resident in &residents {
            (self.progress)();
            match HeldProcess::open(*resident, listed_at) {
                Look::At(holder) => self.process(holder),
                Look::Denied(denied) => self.report.denied.push(denied),
                Look::Ended => self.report.ended += 1,
            }
        }
        self.elsewhere(&residents, listed_at)
    }

    fn process(&mut self, mut holder: HeldProcess) {
        self.report.processes += 1;
        let is_partial = holder.resident().is_partial;
        for (thread, number, inode) in holder.sockets() {
            // Threads of other cgroups have it, too, and made it there.
            if is_partial && self.is_of_tree(inode) == Some(false) {
                continue;
            }
            if !self.take(&mut holder, thread, number, inode) {
                break;
            }
        }
    }

    /// Sockets that were made in the cgroup and that a process outside of it
    /// holds: it was moved, or got them from another one.
    fn elsewhere(&mut self, residents: &[Resident], listed_at: u64) -> anyhow::Result<()> {
        let made_here = self.census.made_in(&self.tree);
        let mut astray: HashSet<u64> = made_here.filter(|inode| !self.seen.contains(inode)).collect();
        if !astray.is_empty() {
            self.attached.brief(|brief| {
                astray.remove(&brief.inode);
            })?;
        }
        if astray.is_empty() {
            return Ok(());
        }
        let known: HashSet<_> = residents.iter().map(|resident| resident.pid).collect();
        for pid in pids().filter(|pid| !known.contains(pid)) {
            let resident = Resident { pid, cgroup_id: 0, is_partial: true };
            let Look::At(mut holder) = HeldProcess::open(resident, listed_at) else { continue };
            let sockets = holder.sockets();
            for &(thread, number, inode) in sockets.iter().filter(|(.., inode)| astray.contains(inode)) {
                self.strangers.insert(pid);
                if !self.take(&mut holder, thread, number, inode) {
                    break;
                }
            }
        }
        Ok(())
    }

    fn is_of_tree(&self, inode: u64) -> Option<bool> {
        let cgroup_id = self.census.get(inode)?.cgroup_id?;
        Some(self.tree.contains(&cgroup_id))
    }

    /// Treats a socket, unless that was done. False where its process may not be
    /// inspected.
    fn take(&mut self, holder: &mut HeldProcess, thread: i32, number: i32, inode: u64) -> bool {
        if self.seen.contains(&inode) {
            return true;
        }
        match holder.take(thread, number) {
            Look::At(socket) => {
                if self.seen.insert(socket.inode) {
                    self.socket(holder, &socket);
                }
                true
            }
            Look::Denied(denied) => {
                self.report.denied.push(denied);
                false
            }
            // The process, or this descriptor of it.
            Look::Ended => true,
        }
    }

    /// Accepted connections inherit the options of listeners. Sockets that are not connected yet are seen when they
    /// connect.
    fn socket(&mut self, holder: &HeldProcess, socket: &SharedSocket) {
        let Some(protocol) = options::protocol(socket.as_fd()) else { return };
        let Ok(info) = tcp_info(socket.as_fd()) else { return };
        let context = self.context(holder, socket);
        match protocol {
            Protocol::Tcp if info.state == LISTEN => {
                let treated = connection::treat_listener(self.attached, socket.as_fd(), &context);
                self.report.listener(treated);
            }
            Protocol::Tcp if state::is_live(info.state) => {
                let treated = connection::treat(self.attached, socket.as_fd(), &info, &context);
                self.report.flow(treated);
            }
            Protocol::Multipath if info.state == LISTEN || state::is_live(info.state) => {
                let treated = multipath::treat(self.attached, socket.as_fd(), &info, &context);
                self.report.multipath(treated);
            }
            _ => {}
        }
    }

    fn context(&self, holder: &HeldProcess, socket: &SharedSocket) -> Context {
        let listed = self.census.get(socket.inode);
        let netns = listed.map_or_else(|| holder.netns(), |listed| listed.netns);
        let direction = listed.map_or_else(
            || self.census.direction(netns, options::local_port(socket.as_fd()).unwrap_or(0)),
            |listed| listed.direction,
        );
        Context {
            sysctl: self.census.sysctl(netns),
            nested: OtherAttachments::of(&self.others, socket.as_fd()),
            direction,
            cgroup_id: listed.and_then(|listed| listed.cgroup_id).unwrap_or(holder.resident().cgroup_id),
            by_default: self.by_default,
        }
    }
}
