//! A pinned object, held open.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::sys;

/// An object and the path of its pin. It lives on when the pin is removed.
#[derive(Debug)]
pub(super) struct Pinned {
    path: PathBuf,
    object: OwnedFd,
}

impl Pinned {
    /// Opens the pin.
    pub(super) fn open(path: PathBuf) -> anyhow::Result<Self> {
        let object = sys::open_pin(&path).with_context(|| format!("opening {}", path.display()))?;
        Ok(Self { path, object })
    }

    /// Pins it again, where the pin was removed.
    pub(super) fn repin(&self) -> anyhow::Result<()> {
        sys::pin(self.as_fd(), &self.path).with_context(|| format!("pinning {}", self.path.display()))
    }

    /// Whether something is pinned there.
    pub(super) fn is_there(&self) -> bool {
        self.path.exists()
    }

    /// Kernel memory of a map, in bytes (`bpf_map_show_fdinfo` in
    /// `kernel/bpf/syscall.c`).
    pub(super) fn memory(&self) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", self.object.as_raw_fd())).ok()?;
        text.lines().find_map(|line| line.strip_prefix("memlock:"))?.trim().parse().ok()
    }

    /// Where it is pinned.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for Pinned {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.object.as_fd()
    }
}
