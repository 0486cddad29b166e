//! The holders of the locks on the directories of pins, and the processes that wait.

use std::fs::{self, File};

use crate::deadline::{SOON, eventually};
use crate::injector::attachment::PINS;

/// Locks as an `injector` does that lists attachments: no process attaches or detaches while it lives.
#[derive(Debug)]
pub struct Listing(#[expect(dead_code, reason = "the lock goes with the file")] File);

impl Listing {
    /// Begins once no process attaches or detaches. Something must be attached.
    pub fn begin() -> Self {
        let directory = File::open(PINS).expect("something is attached");
        directory.lock_shared().expect("bpffs locks");
        Self(directory)
    }
}

/// Waits until a process waits for a lock.
pub fn until_it_waits(pid: u32) {
    until(pid, true);
}

/// Waits until a process waits for no lock.
pub fn until_it_waits_no_more(pid: u32) {
    until(pid, false);
}

/// `1: -> FLOCK  ADVISORY  WRITE 4711 00:21:5 0 EOF` is one that waits.
fn until(pid: u32, waits: bool) {
    let pid = pid.to_string();
    let is_its = |line: &str| line.contains("-> FLOCK") && line.split_whitespace().nth(5) == Some(&pid);
    eventually(&format!("{pid} waits for a lock: {waits}"), SOON, || {
        let locks = fs::read_to_string("/proc/locks").expect("procfs is mounted");
        (locks.lines().any(is_its) == waits).then_some(())
    });
}
