//! The processes of a cgroup, and their sockets.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
    path::Path,
};

use procfs::process::{Process, Stat};
use rustix::{
    fs::fstat,
    io::Errno,
    process::{ForeignRawFd, Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};

use super::report::Denied;
use crate::host::{cgroup, process::socket_descriptors};

/// What came of looking at something of another process.
pub(super) enum Look<T> {
    At(T),
    Denied(Denied),
    /// It was gone by then.
    Ended,
}

/// A process, held so that its id can't become another's.
pub(super) struct Holder {
    process: Process,
    name: String,
    /// The kernel's id of the very cgroup it was found in.
    pub(super) cgroup_id: u64,
    pidfd: OwnedFd,
    sockets: Vec<(RawFd, u64)>,
}

/// A socket of another process, shared with it for as long as this lives.
pub(super) struct Socket {
    descriptor: OwnedFd,
    pub(super) inode: u64,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// The processes of the cgroup at `path` (relative to the mount) and of those
/// below it, one at a time.
pub(super) fn below(path: &str) -> anyhow::Result<impl Iterator<Item = Look<Holder>>> {
    let listed_at = boot_ticks();
    let residents = cgroup::residents(Path::new(path))?;
    Ok(residents.into_iter().map(move |(id, cgroup_id)| look(id, cgroup_id, listed_at)))
}

fn look(id: i32, cgroup_id: u64, listed_at: u64) -> Look<Holder> {
    let Some(pid) = Pid::from_raw(id) else {
        return Look::Denied(Denied::invisible());
    };
    let opened = pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from);
    let (Ok(pidfd), Ok(process)) = (opened, Process::new(id)) else { return Look::Ended };
    let Ok(Stat { comm: name, starttime, .. }) = process.stat() else { return Look::Ended };
    // Another process with the id of one that has ended since the list was
    // read. What belongs to the cgroup is seen when it connects.
    if starttime > listed_at {
        return Look::Ended;
    }
    match socket_descriptors(id) {
        Ok(sockets) => Look::At(Holder { process, name, cgroup_id, pidfd, sockets }),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => Look::Ended,
        Err(error) => Look::Denied(Denied { pid: id, name, why: error.to_string() }),
    }
}

/// Ticks since boot, as `/proc/PID/stat` counts them.
fn boot_ticks() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let ticks = procfs::ticks_per_second();
    now.tv_sec.cast_unsigned() * ticks + now.tv_nsec.cast_unsigned() * ticks / 1_000_000_000
}

impl Holder {
    /// Its descriptors that are sockets of whatever kind, with their inode
    /// numbers.
    pub(super) fn sockets(&self) -> impl Iterator<Item = (RawFd, u64)> {
        self.sockets.iter().copied()
    }

    /// Its entry in `/proc`.
    pub(super) const fn process(&self) -> &Process {
        &self.process
    }

    /// Shares a socket with the process.
    pub(super) fn take(&self, number: RawFd) -> Look<Socket> {
        let taken = pidfd_getfd(&self.pidfd, number as ForeignRawFd, PidfdGetfdFlags::empty());
        match taken.and_then(|descriptor| Ok((fstat(&descriptor)?.st_ino, descriptor))) {
            Ok((inode, descriptor)) => Look::At(Socket { descriptor, inode }),
            Err(Errno::BADF | Errno::SRCH) => Look::Ended,
            Err(error) => Look::Denied(self.denied(error)),
        }
    }

    fn denied(&self, error: Errno) -> Denied {
        Denied { pid: self.process.pid, name: self.name.clone(), why: io::Error::from(error).to_string() }
    }
}
