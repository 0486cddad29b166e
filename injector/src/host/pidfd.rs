//! Descriptors of processes and threads, from which their own descriptors can
//! be taken (`pidfd_getfd`, 5.6).

use std::os::fd::OwnedFd;

use rustix::{
    io::{Errno, Result},
    process::{Pid, PidfdFlags, getpid, pidfd_open},
};

/// `PIDFD_THREAD` in include/uapi/linux/pidfd.h (6.9).
const THREAD: PidfdFlags = PidfdFlags::from_bits_retain(0o200);

/// Opens a process, or one of its threads.
///
/// Errors with `EINVAL` for a thread before 6.9, with `ESRCH` for what has
/// ended.
pub(crate) fn open(pid: i32, thread: i32) -> Result<OwnedFd> {
    let flags = if pid == thread { PidfdFlags::empty() } else { THREAD };
    pidfd_open(Pid::from_raw(thread).ok_or(Errno::SRCH)?, flags)
}

/// Whether the kernel opens threads that are not their process' main one.
pub(crate) fn opens_threads() -> bool {
    pidfd_open(getpid(), THREAD).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_opened_where_the_kernel_does_that() {
        let own = getpid().as_raw_nonzero().get();
        open(own, own).expect("our own");
        let opened = std::thread::spawn(move || open(own, rustix::thread::gettid().as_raw_nonzero().get()));
        assert_eq!(opened.join().expect("it ends").is_ok(), opens_threads());
        assert_eq!(open(0, 0).expect_err("no process"), Errno::SRCH);
    }
}
