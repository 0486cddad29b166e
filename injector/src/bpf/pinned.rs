//! A pinned object, held open.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::sys;
use crate::{
    bpf::pins::{self, Expected},
    error::Error,
};

/// An object and the path of its pin. It stays usable when the pin is removed.
#[derive(Debug)]
pub(super) struct Pinned {
    path: PathBuf,
    object: OwnedFd,
}

impl Pinned {
    /// Opens the pin, whatever kind of object it holds.
    ///
    /// Errors with [`Error::Refused`] where the pin isn't ours.
    pub(super) fn open(path: PathBuf) -> anyhow::Result<Self> {
        pins::check(&path, Expected::Object)?;
        let object = sys::open_pin(&path).with_context(|| format!("opening {}", path.display()))?;
        Ok(Self { path, object })
    }

    /// Opens the pin of a map.
    ///
    /// Errors with [`Error::Refused`] where it holds something else.
    pub(super) fn map(path: PathBuf) -> anyhow::Result<Self> {
        let pinned = Self::open(path)?;
        let is_map = pinned.about("map_type").is_some();
        if is_map { Ok(pinned) } else { Err(pinned.refused("no map")) }
    }

    /// Opens the pin of a link of this kind, as `/proc/self/fdinfo` names it (`bpf_link_type_strs` in
    /// `kernel/bpf/syscall.c`).
    ///
    /// Errors with [`Error::Refused`] where it holds something else.
    pub(super) fn link(path: PathBuf, kind: &str) -> anyhow::Result<Self> {
        let pinned = Self::open(path)?;
        let is_link = pinned.about("link_type").is_some_and(|found| found == kind);
        if is_link { Ok(pinned) } else { Err(pinned.refused(&format!("no link of the type {kind}"))) }
    }

    /// The error that this pin holds something else than it should.
    pub(super) fn refused(&self, what: &str) -> anyhow::Error {
        refused(&self.path, what)
    }

    /// Pins it again, where the pin was removed.
    pub(super) fn repin(&self) -> anyhow::Result<()> {
        sys::pin(self.as_fd(), &self.path).with_context(|| format!("pinning {}", self.path.display()))
    }

    /// Whether something is pinned there.
    pub(super) fn is_there(&self) -> bool {
        pins::is_there(&self.path)
    }

    /// Kernel memory of a map, in bytes (`bpf_map_show_fdinfo` in
    /// `kernel/bpf/syscall.c`).
    pub(super) fn memory(&self) -> Option<u64> {
        self.about("memlock")?.parse().ok()
    }

    /// What the kernel reports of the object under `key`.
    fn about(&self, key: &str) -> Option<String> {
        let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", self.object.as_raw_fd())).ok()?;
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        Some(value.trim().to_owned())
    }

    /// Where it is pinned.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// The error that a pin holds something else than it should.
pub(super) fn refused(path: &Path, what: &str) -> anyhow::Error {
    Error::Refused { path: path.to_owned(), why: format!("it is {what}: remove it") }.into()
}

impl AsFd for Pinned {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.object.as_fd()
    }
}
