//! The process that holds a lock.
//!
//! From the kernel's `/proc/locks` (`lock_get_status` in `fs/locks.c`), which can't be forged. A pid file could name a
//! process that has ended, or any other.

use std::{
    fmt::{self, Display, Formatter},
    fs,
};

use procfs::process::Process;
use rustix::fs::{major, minor};

use super::Identity;

/// Longest command line that is shown, in characters.
const MAX_COMMAND: usize = 80;

/// A process that holds a lock, as far as it is visible here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LockHolder {
    pid: i32,
    /// Its command line, or its name where it has none.
    command: String,
    /// By a signal, or by a debugger.
    is_stopped: bool,
}

impl LockHolder {
    /// The holder of the lock on the file with this device and inode; `None` where it is not in our process-id namespace.
    pub(super) fn of(identity: Identity) -> Option<Self> {
        let pid = holder(&fs::read_to_string("/proc/locks").ok()?, identity)?;
        let process = Process::new(pid).ok();
        let arguments = process.as_ref().and_then(|process| process.cmdline().ok()).unwrap_or_default();
        let stat = process.and_then(|process| process.stat().ok());
        let name = stat.as_ref().map(|stat| stat.comm.clone());
        let command = if arguments.is_empty() { name.unwrap_or_default() } else { arguments.join(" ") };
        let is_stopped = stat.is_some_and(|stat| matches!(stat.state, 'T' | 't'));
        Some(Self { pid, command: command.chars().take(MAX_COMMAND).collect(), is_stopped })
    }

    /// The remedy.
    pub(super) fn cure(&self) -> String {
        let pid = self.pid;
        if self.is_stopped {
            return format!("`kill -CONT {pid}` resumes it, `kill -KILL {pid}` ends it");
        }
        format!("wait until it ends, or `kill {pid}`")
    }
}

impl Display for LockHolder {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let stopped = if self.is_stopped { ", which is stopped" } else { "" };
        write!(formatter, "process {} ({}){stopped}", self.pid, self.command)
    }
}

/// The first holder in `/proc/locks`: `1: FLOCK  ADVISORY  WRITE 4711 00:21:5 0 EOF`. Those that wait have `->`.
fn holder(locks: &str, (device, inode): Identity) -> Option<i32> {
    let place = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    locks.lines().find_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [_, "FLOCK", _, _, pid, at, ..] if at == place => pid.parse().ok(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_found_among_locks() {
        let locks = "1: POSIX  ADVISORY  WRITE 1 00:21:5 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 2 00:21:55 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 3 00:21:5 0 EOF\n\
                     3: -> FLOCK  ADVISORY  WRITE 4 00:21:5 0 EOF\n\
                     4: FLOCK  ADVISORY  READ 5 fe:01:7 0 EOF\n";
        let device = rustix::fs::makedev;
        assert_eq!(holder(locks, (device(0, 0x21), 5)), Some(3));
        assert_eq!(holder(locks, (device(0xfe, 1), 7)), Some(5));
        assert_eq!(holder(locks, (device(0, 0x21), 6)), None);
        assert_eq!(holder("", (0, 0)), None);
    }

    #[test]
    fn a_stopped_holder_has_another_cure() {
        let holder = |is_stopped| LockHolder { pid: 7, command: "injector flows".to_owned(), is_stopped };
        assert_eq!(holder(true).to_string(), "process 7 (injector flows), which is stopped");
        assert!(holder(true).cure().contains("kill -CONT 7"));
        assert_eq!(holder(false).cure(), "wait until it ends, or `kill 7`");
    }
}
