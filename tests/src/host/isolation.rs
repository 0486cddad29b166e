//! A mount namespace and a bpffs for each test.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::host::privilege::require_root;

/// Where programs and links are pinned.
pub(crate) const BPFFS: &str = "/sys/fs/bpf";

/// The mount namespaces made here, by inode.
static OWN: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

/// Gives the calling thread mounts of its own and an empty bpffs, unless it has them already. All threads and programs
/// that it starts from here on have them, too: they see no attachment but those of their test, and no other process
/// sees these. When the last of them has ended, the kernel frees what is pinned there.
pub(crate) fn isolate() {
    require_root();
    if own().contains(&namespace()) {
        return;
    }
    leave_shared_mounts();
    own().insert(namespace());
    unmount_all();
    mount("injector-tests", BPFFS, "bpf", MountFlags::empty(), None)
        .unwrap_or_else(|error| panic!("cannot mount bpffs at {BPFFS}: {error}"));
}

/// Whatever this thread mounts or unmounts afterwards stays here.
#[expect(unsafe_code, reason = "unsharing descriptors would be unsafe, and only mounts are unshared here")]
fn leave_shared_mounts() {
    // SAFETY: the thread keeps the descriptor table that it shares with the others.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap_or_else(|error| panic!("no mount namespace: {error}"));
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .unwrap_or_else(|error| panic!("cannot make mounts private: {error}"));
}

/// There may be several on top of each other: a test that unmounts its bpffs must not find the host's below.
fn unmount_all() {
    loop {
        match unmount(BPFFS, UnmountFlags::DETACH) {
            Ok(()) => {}
            // Nothing is mounted there.
            Err(Errno::INVAL) => return,
            Err(error) => panic!("cannot unmount {BPFFS}: {error}"),
        }
    }
}

/// The calling thread's mount namespace.
fn namespace() -> u64 {
    fs::metadata("/proc/thread-self/ns/mnt").expect("procfs is mounted").ino()
}

fn own() -> MutexGuard<'static, BTreeSet<u64>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}
