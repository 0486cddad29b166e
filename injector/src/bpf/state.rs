//! The state of an attachment.

use super::{Attached, pinned::Pinned};
use crate::{error::Error, host::cgroup};

/// The state of an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachmentState {
    /// Attached, and pinned.
    Attached,
    /// Attached for as long as a process holds it open: pins of it are gone.
    Unpinned,
    /// Attached for as long as a process holds it open, and another attachment
    /// has its name.
    Replaced,
    /// Off its hook: its cgroup was removed.
    CgroupRemoved,
    /// Off its hook: it was detached.
    Detached,
}

impl AttachmentState {
    /// Whether the programs are on their hooks, under its name.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Attached | Self::Unpinned)
    }
}

impl Attached {
    /// Its state. The caller holds [`crate::bpf::pins::lock_for_listing`], or
    /// it may be seen half-way.
    pub fn state(&self) -> anyhow::Result<AttachmentState> {
        if self.hooked_to()? == 0 {
            let is_there = self.has_its_cgroup()?;
            return Ok(if is_there { AttachmentState::Detached } else { AttachmentState::CgroupRemoved });
        }
        Ok(if self.has_its_pins() {
            let is_whole = self.pinned().all(Pinned::is_there);
            if is_whole { AttachmentState::Attached } else { AttachmentState::Unpinned }
        } else if self.pins().is_attached() {
            AttachmentState::Replaced
        } else {
            AttachmentState::Unpinned
        })
    }

    /// Whether the cgroup at its path is still the one that it was attached to.
    ///
    /// Errors where that can't be found out.
    pub fn has_its_cgroup(&self) -> anyhow::Result<bool> {
        let description = self.description();
        cgroup::exists(description.path(), description.cgroup_id)
    }

    /// Errors with [`Error::CgroupRemoved`] or [`Error::OffItsHook`] where the
    /// programs run for no socket any more.
    pub fn check_is_active(&self) -> anyhow::Result<()> {
        if self.hooked_to()? != 0 {
            return Ok(());
        }
        Err(if self.has_its_cgroup()? {
            Error::OffItsHook { name: self.name().to_owned(), cgroup: self.cgroup_path().display().to_string() }.into()
        } else {
            self.cgroup_removed().into()
        })
    }

    /// The error where its cgroup is gone.
    pub fn cgroup_removed(&self) -> Error {
        let cgroup = self.cgroup_path();
        let is_recreated = cgroup::directory(&cgroup).is_ok_and(|directory| directory.is_dir());
        Error::CgroupRemoved { name: self.name().to_owned(), cgroup: cgroup.display().to_string(), is_recreated }
    }
}
