//! Pins of attachments: `/sys/fs/bpf/injector/v<abi>/<name>/`.
//!
//! The pins keep the programs attached without a process of ours, and let later invocations find them. The link of the
//! `keepalive` program is pinned last and removed first, so a directory that has it is complete, and one that hasn't is
//! what a killed process left behind.
//!
//! What belongs to one build of the programs and its parameters lies one
//! directory below, named by the kernel's id of the `keepalive` program. So the
//! link itself identifies the active one, and replacing a build is one atomic
//! step: the update of that link.

mod lock;
mod name;
mod trust;

use std::{
    fs::{self, DirBuilder, File, FileTimes},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::Context as _;
use injector_common::{ABI_VERSION, names::KEEPALIVE};
pub(crate) use lock::{Gate, Lock, lock_all, lock_for_adopting, lock_for_listing, wait_at_most};
use name::MAX_NAME;
pub(crate) use trust::{Expected, check};

use crate::error::Error;

/// Why pins of another layout are refused.
const OTHER_LAYOUT: &str = "another version of injector attached what is in it: detach with that version, or remove it";

/// Where bpffs is mounted by convention.
pub(crate) const BPFFS: &str = "/sys/fs/bpf";

/// The directory of one attachment, whether it exists or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinDir {
    name: String,
}

/// Distinguishes an attachment from a later one of the same name: device and inode of the pin that is written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(u64, u64);

impl PinDir {
    /// The directory of the attachment `name`.
    ///
    /// Errors unless the name is made of letters, digits, `-` and `_`: bpffs
    /// takes no dots.
    pub fn named(name: &str) -> Result<Self, Error> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_allowed) {
            return Err(Error::BadValue {
                what: "--name",
                value: format!("{name:?}"),
                expected: format!("give 1 to {MAX_NAME} letters, digits, - and _"),
            });
        }
        Ok(Self { name: name.to_owned() })
    }

    /// The directory for the cgroup at `path` (relative to the cgroup v2
    /// mount) when no name was given: `/a/b` becomes `a-b`. No two paths share one.
    pub fn for_cgroup(path: &Path) -> Self {
        Self { name: name::of_cgroup(path) }
    }

    /// Every attachment of this layout, complete or not, by name.
    pub fn all() -> anyhow::Result<Vec<Self>> {
        Ok(entries(&root())?.iter().filter_map(|path| Self::named(&file_name(path)).ok()).collect())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its path.
    pub fn path(&self) -> PathBuf {
        root().join(&self.name)
    }

    /// Path of the object `name` in it.
    pub fn pin(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Whether anything is there.
    pub fn exists(&self) -> bool {
        is_there(&self.path())
    }

    /// Checks that it is a directory of ours, where it exists.
    ///
    /// Errors with [`Error::Refused`].
    pub fn check(&self) -> anyhow::Result<()> {
        check(&self.path(), Expected::Directory)
    }

    /// Whether the attachment is complete.
    pub fn is_attached(&self) -> bool {
        is_there(&self.pin(KEEPALIVE))
    }

    /// `None` where nothing is attached.
    pub fn identity(&self) -> Option<Identity> {
        fs::symlink_metadata(self.pin(KEEPALIVE)).ok().map(|pin| Identity(pin.dev(), pin.ino()))
    }

    /// Creates the directory, for root alone.
    pub fn create(&self) -> anyhow::Result<()> {
        create(&self.path())
    }

    /// The directory of what belongs to the `keepalive` program with this id.
    pub fn generation(&self, program_id: u32) -> PathBuf {
        self.path().join(program_id.to_string())
    }

    /// Removes what belongs to other `keepalive` programs than this one.
    pub fn remove_other_generations(&self, program_id: u32) -> anyhow::Result<()> {
        let current = self.generation(program_id);
        self.generations()?.iter().filter(|path| **path != current).try_for_each(|path| remove_tree(path))
    }

    /// The directories of what belongs to one `keepalive` program each.
    pub fn generations(&self) -> anyhow::Result<Vec<PathBuf>> {
        Ok(entries(&self.path())?.into_iter().filter(|path| is_directory(path)).collect())
    }

    /// Removes all pins and the directory. What is already gone is fine.
    pub fn remove(&self) -> anyhow::Result<()> {
        let last_written = self.pin(KEEPALIVE);
        absent_is_fine(fs::remove_file(&last_written))
            .with_context(|| format!("removing {}", last_written.display()))?;
        remove_tree(&self.path())
    }

    /// Wakes the process that watches it: there are flows that its last scan did not see, and that may have been idle
    /// for long. Without it they are seen at the next scan.
    pub fn touch(&self) {
        // Both times: for one of them inotify has other events (`fsnotify_change` in include/linux/fsnotify.h).
        let now = SystemTime::now();
        let times = FileTimes::new().set_accessed(now).set_modified(now);
        let touched = File::open(self.path()).and_then(|directory| directory.set_times(times));
        if let Err(error) = touched {
            tracing::debug!("adopted flows are not announced: touching {}: {error}", self.path().display());
        }
    }

    /// Makes this process the one that watches the attachment, for as long as
    /// the lock lives. `None` where another one does.
    pub fn own(&self) -> anyhow::Result<Option<Lock>> {
        lock::own(&self.path())
    }
}

/// Creates a directory for root alone.
pub(crate) fn create(path: &Path) -> anyhow::Result<()> {
    DirBuilder::new().mode(0o700).create(path).map_err(|error| denied(error, path))
}

/// Removes a directory and everything in it. What is already gone is fine.
pub(crate) fn remove_tree(path: &Path) -> anyhow::Result<()> {
    absent_is_fine(fs::remove_dir_all(path)).with_context(|| format!("removing {}", path.display()))
}

/// What a directory holds; nothing where it is not there.
fn entries(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| denied(error, path))?,
    };
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()
        .with_context(|| format!("reading {}", path.display()))?;
    paths.sort();
    Ok(paths)
}

/// Whether something has that name, which may be a symlink that leads nowhere.
pub(crate) fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Errors with [`Error::Refused`] where an injector with another pin layout has attached something: neither reads what the
/// other pinned, and two of them on one cgroup would each set keepalive.
fn check_layout() -> anyhow::Result<()> {
    let root = root();
    match entries(&above())?.into_iter().find(|path| *path != root && is_directory(path)) {
        Some(path) => Err(Error::Refused { path, why: OTHER_LAYOUT.to_owned() }.into()),
        None => Ok(()),
    }
}

/// A symlink to a directory is none.
fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Removes the directories above the attachments once nothing is in them. The
/// caller holds [`lock_all`].
pub(crate) fn tidy() {
    // Not empty, or gone already: both are fine.
    drop(fs::remove_dir(root()).and_then(|()| fs::remove_dir(above())));
}

/// The directory of all pin layouts.
fn above() -> PathBuf {
    Path::new(BPFFS).join("injector")
}

fn root() -> PathBuf {
    above().join(format!("v{ABI_VERSION}"))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// A pin directory that can't be entered is a matter of privilege.
fn denied(error: io::Error, path: &Path) -> anyhow::Error {
    let is_privilege = error.kind() == io::ErrorKind::PermissionDenied;
    let error = anyhow::Error::from(error).context(format!("opening {}", path.display()));
    if is_privilege {
        let what = format!("reading the pins below {BPFFS}");
        return error.context(Error::Privilege { what, cure: "run injector as root".to_owned() });
    }
    error
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["", ".", "..", "a/b", "../x", "a.b", "a\0b", "é", &"x".repeat(201)] {
            let error = PinDir::named(name).expect_err(name).to_string();
            assert!(error.contains("letters, digits"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn names_from_cgroups_are_allowed(path: String) {
            let name = PinDir::for_cgroup(Path::new(&path)).name().to_owned();
            prop_assert!(PinDir::named(&name).is_ok(), "{}", name);
        }
    }
}
