//! Locks on the directories of pins. The kernel releases them with the process that holds them.
//!
//! A process that is stopped, by Ctrl-Z or a frozen cgroup, keeps its locks. So waits have a deadline, after which the
//! error names the holder.

mod holder;

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, Metadata},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError, mpsc},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock, openat},
    io::{Errno, retry_on_intr},
};

use self::holder::LockHolder;
use super::{BPFFS, Expected, above, check, check_layout, denied, root};
use crate::{error::Error, units};

/// How long a command waits for a lock. Other processes hold one for as long as a scan or an attachment takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many times [`PATIENCE`] a command waits, each time for another holder.
const MAX_TURNS: u32 = 6;

/// How long this process waits, where that is not [`PATIENCE`].
static OWN_PATIENCE: OnceLock<Duration> = OnceLock::new();

/// Locks whose wait timed out, by device and inode: as long as they are held, this process does not wait for them
/// again.
static TIMED_OUT: Mutex<Option<HashSet<Identity>>> = Mutex::new(None);

/// Device and inode of a directory.
type Identity = (u64, u64);

/// Keeps others from attaching, detaching, adopting or watching while it lives.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Whether `path` still leads to what is locked.
    fn is_on(&self, path: &Path) -> bool {
        let inode = |metadata: io::Result<Metadata>| metadata.ok().map(|metadata| metadata.ino());
        inode(self.file.metadata()) == inode(fs::metadata(path))
    }
}

/// A directory whose lock serialises its users.
#[derive(Debug)]
pub(crate) struct Gate {
    directory: File,
    path: PathBuf,
}

impl Gate {
    /// Opens the directory.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let directory = File::open(path).map_err(|error| denied(error, path))?;
        Ok(Self { directory, path: path.to_owned() })
    }

    /// Waits for the lock, then runs `work`.
    ///
    /// Errors with [`Error::Held`] where they take too long.
    pub(crate) fn pass<T>(&self, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        // A lock belongs to what one open() made: a wait that is given up must not end in our lock.
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let own = openat(&self.directory, ".", flags, Mode::empty()).context("opening the lock of scans")?;
        let _lock = wait(File::from(own), FlockOperation::LockExclusive, &self.path)?;
        work()
    }
}

/// Limits waits of this process for any lock to `patience`. Counts once, before there is one.
pub(crate) fn wait_at_most(patience: Duration) {
    // The first one counts.
    let _ = OWN_PATIENCE.set(patience);
}

/// Waits for processes that are attaching, detaching or listing.
///
/// Errors with [`Error::Refused`] where other users may have changed what is there, with [`Error::Held`] where they
/// take too long.
pub(crate) fn lock_all() -> anyhow::Result<Lock> {
    let root = root();
    loop {
        make_root()?;
        match lock(&root, FlockOperation::LockExclusive)? {
            Some(lock) if lock.is_on(&root) => return Ok(lock),
            // It was removed during the wait: again, on the new one.
            Some(_) | None => {}
        }
    }
}

/// Makes the directories above the attachments, for root alone.
fn make_root() -> anyhow::Result<()> {
    check(Path::new(BPFFS), Expected::Mount)?;
    check(&above(), Expected::Directory)?;
    check_layout()?;
    for directory in [above(), root()] {
        match DirBuilder::new().mode(0o700).create(&directory) {
            // Its parent was just removed.
            Err(error) if error.kind() == io::ErrorKind::NotFound && directory == root() => {}
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(denied(error, &directory)),
            _ => check(&directory, Expected::Directory)?,
        }
    }
    Ok(())
}

/// Waits for processes that are attaching or detaching, so that nothing changes while attachments are listed. `None`
/// where there are none.
///
/// Errors as [`lock_all`] does.
pub(crate) fn lock_for_listing() -> anyhow::Result<Option<Lock>> {
    let root = root();
    check(Path::new(BPFFS), Expected::Mount)?;
    check(&above(), Expected::Directory)?;
    check(&root, Expected::Directory)?;
    check_layout()?;
    lock(&root, FlockOperation::LockShared)
}

/// Waits for processes that are adopting: a value that one of them just set would look like the application's choice.
///
/// Errors as [`lock_all`] does.
pub(crate) fn lock_for_adopting() -> anyhow::Result<Lock> {
    let above = above();
    check(Path::new(BPFFS), Expected::Mount)?;
    check(&above, Expected::Directory)?;
    lock(&above, FlockOperation::LockExclusive)?.ok_or_else(|| denied(io::ErrorKind::NotFound.into(), &above))
}

/// As [`super::PinDir::own`], of any directory.
pub(super) fn own(path: &Path) -> anyhow::Result<Option<Lock>> {
    let file = File::open(path).map_err(|error| denied(error, path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Lock { file })),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(denied(error.into(), path)),
    }
}

/// `None` where there is no such directory.
fn lock(directory: &Path, how: FlockOperation) -> anyhow::Result<Option<Lock>> {
    match File::open(directory) {
        Ok(file) => Ok(Some(Lock { file: wait(file, how, directory)? })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(denied(error, directory)),
    }
}

/// Locks `file`, the directory at `path`.
///
/// Errors with [`Error::Held`] after the deadline.
fn wait(file: File, how: FlockOperation, path: &Path) -> anyhow::Result<File> {
    let metadata = file.metadata().map_err(|error| denied(error, path))?;
    let identity = (metadata.dev(), metadata.ino());
    let at_once = match how {
        FlockOperation::LockShared => FlockOperation::NonBlockingLockShared,
        _ => FlockOperation::NonBlockingLockExclusive,
    };
    match flock(&file, at_once) {
        Ok(()) => {
            timed_out(|locks| locks.remove(&identity));
            return Ok(file);
        }
        Err(Errno::WOULDBLOCK) => {}
        Err(error) => return Err(denied(error.into(), path)),
    }
    if timed_out(|locks| locks.contains(&identity)) {
        return Err(held(path, identity, Duration::ZERO));
    }
    let (patience, turns) = OWN_PATIENCE.get().map_or((PATIENCE, MAX_TURNS), |patience| (*patience, 1));
    // flock() has no deadline. A thread that gets the lock too late releases it at once.
    let (sender, receiver) = mpsc::channel();
    let waiter = move || drop(sender.send(retry_on_intr(|| flock(&file, how)).map(|()| file)));
    thread::Builder::new().name("lock".to_owned()).spawn(waiter).context("waiting for a lock")?;
    let (mut holder, mut turn) = (LockHolder::of(identity), 1);
    loop {
        if let Ok(locked) = receiver.recv_timeout(patience) {
            return locked.map_err(|error| denied(error.into(), path));
        }
        let next = LockHolder::of(identity);
        // Where the lock passes from one process to the next, none is stuck: flock() is not fair.
        if turn == turns || next == holder {
            timed_out(|locks| locks.insert(identity));
            return Err(held(path, identity, patience * turn));
        }
        (holder, turn) = (next, turn + 1);
    }
}

fn timed_out<T>(look: impl FnOnce(&mut HashSet<Identity>) -> T) -> T {
    look(TIMED_OUT.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
}

fn held(path: &Path, identity: Identity, waited: Duration) -> anyhow::Error {
    let waited = if waited.is_zero() { String::new() } else { format!(" (waited for {})", units::exact(waited)) };
    let (holder, cure) = LockHolder::of(identity).map_or_else(
        || {
            let cure = "look for injector in other containers".to_owned();
            ("a process that is not visible here".to_owned(), cure)
        },
        |holder| (holder.to_string(), holder.cure()),
    );
    Error::Held { path: path.to_owned(), holder: format!("{holder}{waited}"), cure }.into()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_wait_has_an_end_and_names_the_holder() {
        let directory = tempfile::tempdir().expect("a directory");
        let (gate, other) = (Gate::open(directory.path()).expect("ours"), Gate::open(directory.path()).expect("ours"));
        wait_at_most(Duration::from_millis(50));
        let text = gate
            .pass(|| {
                let first = other.pass(|| Ok(())).expect_err("it is held").to_string();
                let started = Instant::now();
                let again = other.pass(|| Ok(())).expect_err("it is held").to_string();
                assert!(started.elapsed() < Duration::from_millis(40) && !again.contains("waited"), "{again}");
                Ok(first)
            })
            .expect("free");
        assert!(
            text.contains(&format!("process {} (", std::process::id())) && text.contains("waited for 50ms"),
            "{text}"
        );
        // The thread that timed out may just have it.
        let passed = (0..100).any(|_| {
            thread::sleep(Duration::from_millis(5));
            other.pass(|| Ok(())).is_ok()
        });
        assert!(passed, "it is free again");
    }
}
