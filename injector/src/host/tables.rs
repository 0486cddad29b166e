//! Which descriptors of a process are sockets, in all of its descriptor tables.
//!
//! Threads usually share one table, and `/proc/PID/fd` shows it. Threads may
//! have tables of their own, though (`unshare(CLONE_FILES)`), and a process
//! whose main thread has ended shows none there.
#![expect(unsafe_code, reason = "a system call")]

use std::{cmp::Ordering, fs, io};

use super::process::socket;

/// `KCMP_FILES` in include/uapi/linux/kcmp.h: compare descriptor tables.
const KCMP_FILES: libc::c_int = 2;

/// A descriptor table of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DescriptorTable {
    /// Id of a thread that has it: the process' own where it is the main thread.
    pub thread: i32,
    /// Descriptors that are sockets of whatever kind, with the sockets' inode
    /// numbers.
    pub sockets: Vec<(i32, u64)>,
}

/// The descriptor tables of a process, usually one.
///
/// Errors where they may not be seen.
pub(crate) fn descriptor_tables(pid: i32) -> io::Result<Vec<DescriptorTable>> {
    let mut tables = Vec::new();
    for thread in owners(pid, &threads(pid)?, compare) {
        match sockets(pid, thread) {
            Ok(sockets) => tables.push(DescriptorTable { thread, sockets }),
            // A thread that ended meanwhile; one that is the process itself is all of it.
            Err(error) if thread != pid && has_ended(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(tables)
}

/// Whether the error of looking at a process is that it is no more.
pub(crate) fn has_ended(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

/// All threads of a process, the main one first, which is there for as long as
/// the process is.
fn threads(pid: i32) -> io::Result<Vec<i32>> {
    let mut threads = vec![pid];
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let number: Option<i32> = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        threads.extend(number.filter(|number| *number != pid));
    }
    Ok(threads)
}

/// One thread for each table, the main one first. The kernel has an order of
/// tables, so that a thousand threads take ten thousand comparisons and not a
/// million. What can't be compared counts as a table of its own, unless the
/// kernel compares nothing at all: then the first other thread stands for all
/// others.
fn owners(pid: i32, threads: &[i32], compare: impl Fn(i32, i32) -> io::Result<Ordering>) -> Vec<i32> {
    let mut ordered = vec![pid];
    for &thread in threads.iter().filter(|thread| **thread != pid) {
        let mut failed = None;
        let place = ordered.binary_search_by(|owner| {
            compare(*owner, thread).unwrap_or_else(|error| {
                failed = Some(error);
                Ordering::Less
            })
        });
        match (place, failed) {
            // `CONFIG_KCMP` is off, or seccomp hides the call.
            (_, Some(error)) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                return vec![pid, thread];
            }
            (Err(at), _) => ordered.insert(at, thread),
            (Ok(_), _) => {}
        }
    }
    ordered.sort_by_key(|owner| *owner != pid);
    ordered
}

fn compare(one: i32, other: i32) -> io::Result<Ordering> {
    // SAFETY: the call takes integers alone, and touches no memory of ours.
    match unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_FILES, 0, 0) } {
        0 => Ok(Ordering::Equal),
        1 => Ok(Ordering::Less),
        2 | 3 => Ok(Ordering::Greater),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Errors where they may not be seen. The directory can be open to us where
/// what its entries lead to is not, which procfs' own iterator passes over.
fn sockets(pid: i32, thread: i32) -> io::Result<Vec<(i32, u64)>> {
    let mut sockets = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task/{thread}/fd"))? {
        let entry = entry?;
        match fs::read_link(entry.path()) {
            Ok(target) => sockets.extend(socket(&entry.file_name(), &target)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            // Closed meanwhile.
            Err(_) => {}
        }
    }
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, os::fd::AsRawFd as _, sync::mpsc, thread};

    use super::*;

    fn own_pid() -> i32 {
        i32::try_from(std::process::id()).expect("fits")
    }

    #[test]
    fn each_table_has_one_owner() {
        // Tables by the last digit of the thread's id.
        let by_digit = |one: i32, other: i32| Ok((one % 10).cmp(&(other % 10)));
        assert_eq!(owners(11, &[11, 21, 31, 41], by_digit), [11]);
        let mut several = owners(15, &[15, 21, 25, 37, 31, 47, 99], by_digit);
        assert_eq!(several[0], 15);
        several.sort_unstable();
        assert_eq!(several, [15, 21, 37, 99]);
        let errno = |errno| move |_: i32, _: i32| Err(io::Error::from_raw_os_error(errno));
        assert_eq!(owners(1, &[1, 2, 3], errno(libc::ENOSYS)), [1, 2]);
        assert_eq!(owners(1, &[1, 2, 3], errno(libc::ESRCH)).len(), 3);
    }

    #[test]
    fn threads_that_share_a_table_count_once_and_others_are_found() {
        let (ready, is_ready) = mpsc::channel();
        let (done, is_done) = mpsc::channel::<()>();
        let other = thread::spawn(move || {
            // SAFETY: gives this thread a copy of the table, and nothing else.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_FILES) }, 0);
            let socket = TcpListener::bind("127.0.0.1:0").expect("bound");
            let number = socket.as_raw_fd();
            ready.send((rustix::thread::gettid().as_raw_nonzero().get(), number)).expect("heard");
            is_done.recv().ok();
        });
        let (thread, number) = is_ready.recv().expect("ready");
        let tables = descriptor_tables(own_pid()).expect("our own");
        let its: Vec<_> = tables.iter().filter(|table| table.thread == thread).collect();
        assert!(its.len() == 1 && its[0].sockets.iter().any(|(there, _)| *there == number), "{tables:?}");
        assert!(tables.len() < threads(own_pid()).expect("our own").len(), "the test's own threads share one");
        drop(done);
        other.join().expect("it ends");
    }

    #[test]
    fn ended_processes_have_no_table() {
        let error = descriptor_tables(i32::MAX).expect_err("no process");
        assert!(has_ended(&error), "{error}");
    }
}
