//! Processes, and the sockets that are taken from them.

use std::{
    cell::OnceCell,
    collections::HashMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
};

use procfs::process::{Process, Stat};
use rustix::{
    fs::fstat,
    io::Errno,
    process::{ForeignRawFd, PidfdGetfdFlags, pidfd_getfd},
};

use super::report::Denied;
use crate::host::{
    cgroup::Resident,
    netns::Netns,
    pidfd,
    tables::{self, DescriptorTable, descriptor_tables},
};

/// The result of inspecting another process.
pub(super) enum Look<T> {
    At(T),
    Denied(Denied),
    /// It has ended.
    Ended,
}

/// A process, held so that its id can't become another's.
pub(super) struct HeldProcess {
    name: String,
    resident: Resident,
    tables: Vec<DescriptorTable>,
    /// By thread that has a table; the main one is there from the start.
    opened: HashMap<i32, Result<OwnedFd, Errno>>,
    netns: OnceCell<u64>,
}

/// A socket of another process, shared with it for as long as this lives.
pub(super) struct SharedSocket {
    descriptor: OwnedFd,
    pub(super) inode: u64,
}

impl AsFd for SharedSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Ticks since boot, as `/proc/PID/stat` counts them.
pub(super) fn boot_ticks() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let ticks = procfs::ticks_per_second();
    now.tv_sec.cast_unsigned() * ticks + now.tv_nsec.cast_unsigned() * ticks / 1_000_000_000
}

impl HeldProcess {
    /// Opens the process of a list that was read at `listed_at`, in
    /// [`boot_ticks`].
    pub(super) fn open(resident: Resident, listed_at: u64) -> Look<Self> {
        let pid = resident.pid;
        if pid == 0 {
            return Look::Denied(Denied::invisible());
        }
        let (Ok(pidfd), Ok(process)) = (pidfd::open(pid, pid), Process::new(pid)) else { return Look::Ended };
        let Ok(Stat { comm: name, starttime, .. }) = process.stat() else { return Look::Ended };
        // Another process with the id of one that has ended since the list was
        // read. What belongs to the cgroup is seen when it connects.
        if starttime > listed_at {
            return Look::Ended;
        }
        match descriptor_tables(pid) {
            Ok(tables) => {
                let opened = [(pid, Ok(pidfd))].into();
                Look::At(Self { name, resident, tables, opened, netns: OnceCell::new() })
            }
            Err(error) if tables::has_ended(&error) => Look::Ended,
            Err(error) => Look::Denied(Denied { pid, name, why: error.to_string() }),
        }
    }

    /// As it was found in its cgroup.
    pub(super) const fn resident(&self) -> &Resident {
        &self.resident
    }

    /// Its descriptors that are sockets of whatever kind: the thread that has
    /// the table, the number in it, and the socket's inode number.
    pub(super) fn sockets(&self) -> Vec<(i32, RawFd, u64)> {
        let of = |table: &DescriptorTable| {
            let thread = table.thread;
            table.sockets.iter().map(move |(number, inode)| (thread, *number, *inode)).collect::<Vec<_>>()
        };
        self.tables.iter().flat_map(of).collect()
    }

    /// The kernel's number of the network namespace it is in: usually that of its sockets.
    pub(super) fn netns(&self) -> u64 {
        *self.netns.get_or_init(|| Netns::of(self.resident.pid).map_or(0, |namespace| namespace.inode))
    }

    /// Shares a socket with the process.
    pub(super) fn take(&mut self, thread: i32, number: RawFd) -> Look<SharedSocket> {
        let pid = self.resident.pid;
        let opened = self.opened.entry(thread).or_insert_with(|| pidfd::open(pid, thread));
        let taken = opened.as_ref().map_err(|error| *error).and_then(|pidfd| {
            let descriptor = pidfd_getfd(pidfd, number as ForeignRawFd, PidfdGetfdFlags::empty())?;
            Ok((fstat(&descriptor)?.st_ino, descriptor))
        });
        match taken {
            Ok((inode, descriptor)) => Look::At(SharedSocket { descriptor, inode }),
            Err(Errno::BADF | Errno::SRCH) => Look::Ended,
            Err(Errno::INVAL) if thread != pid => Look::Denied(
                self.denied("its threads have descriptor tables of their own, which needs Linux 6.9".to_owned()),
            ),
            Err(error) => Look::Denied(self.denied(io::Error::from(error).to_string())),
        }
    }

    fn denied(&self, why: String) -> Denied {
        Denied { pid: self.resident.pid, name: self.name.clone(), why }
    }
}
