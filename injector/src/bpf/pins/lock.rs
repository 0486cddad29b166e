//! Locks on the directories of pins. The kernel lets go of them with the process
//! that holds them.

use std::{
    fs::{self, DirBuilder, File, Metadata},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::Path,
};

use anyhow::Context as _;
use rustix::fs::{FlockOperation, flock};

use super::{BPFFS, Expected, above, check, denied, root};

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

/// A directory that serialises those who hold it open.
#[derive(Debug)]
pub struct Gate(File);

impl Gate {
    /// Opens the directory.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        File::open(path).map(Self).map_err(|error| denied(error, path))
    }

    /// Waits for the others, then does `work`.
    pub fn pass<T>(&self, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        flock(&self.0, FlockOperation::LockExclusive).context("locking out other scans")?;
        let result = work();
        flock(&self.0, FlockOperation::Unlock).context("letting other scans in")?;
        result
    }
}

/// Waits for others that are just attaching, detaching or listing.
///
/// Errors with [`Refused`](crate::error::Error::Refused) where others may have had a hand in what is there.
pub fn lock_all() -> anyhow::Result<Lock> {
    let root = root();
    loop {
        make_root()?;
        match lock(&root, FlockOperation::LockExclusive) {
            Ok(lock) if lock.is_on(&root) => return Ok(lock),
            // Somebody tidied it away while we waited: again, on the new one.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(denied(error, &root)),
        }
    }
}

/// Makes the directories above the attachments, for root alone.
fn make_root() -> anyhow::Result<()> {
    check(Path::new(BPFFS), Expected::Mount)?;
    for directory in [above(), root()] {
        match DirBuilder::new().mode(0o700).create(&directory) {
            // The one above it was just tidied away.
            Err(error) if error.kind() == io::ErrorKind::NotFound && directory == root() => {}
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(denied(error, &directory)),
            _ => check(&directory, Expected::Directory)?,
        }
    }
    Ok(())
}

/// Waits for others that are just attaching or detaching, so that nothing
/// comes or goes while attachments are listed. `None` where there are none.
///
/// Errors as [`lock_all`] does.
pub fn lock_for_listing() -> anyhow::Result<Option<Lock>> {
    let root = root();
    check(Path::new(BPFFS), Expected::Mount)?;
    check(&above(), Expected::Directory)?;
    check(&root, Expected::Directory)?;
    match lock(&root, FlockOperation::LockShared) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(denied(error, &root)),
    }
}

/// Waits for others that are just adopting: who reads what a socket chose while
/// another sets it would take that for the application's choice.
///
/// Errors as [`lock_all`] does.
pub fn lock_for_adopting() -> anyhow::Result<Lock> {
    let above = above();
    check(Path::new(BPFFS), Expected::Mount)?;
    check(&above, Expected::Directory)?;
    lock(&above, FlockOperation::LockExclusive).map_err(|error| denied(error, &above))
}

/// As [`super::PinDir::own`], of any directory.
pub(super) fn own(path: &Path) -> anyhow::Result<Option<Lock>> {
    match lock(path, FlockOperation::NonBlockingLockExclusive) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(denied(error, path)),
    }
}

fn lock(directory: &Path, how: FlockOperation) -> io::Result<Lock> {
    let file = File::open(directory)?;
    flock(&file, how)?;
    Ok(Lock { file })
}
