//! A pinned object, held open.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
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
