//! cgroup v2: where it is mounted, which directory is meant, and which path
//! belongs to an id.

mod locate;
mod mounts;
mod pattern;
mod residents;
mod unit;

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use locate::{check_is_plain, locate};
use mounts::Mounts;
pub use mounts::{cgroup2_mounts, whole};
pub use pattern::Pattern;
pub(crate) use pattern::{Expansion, expand};
pub(crate) use residents::{Resident, residents};
use rustix::fs::fstatfs;
pub(crate) use unit::{undelegated, unit_of};

use crate::error::Error;

/// `CGROUP2_SUPER_MAGIC` in include/uapi/linux/magic.h.
const CGROUP2_MAGIC: u64 = 0x6367_7270;

/// Inode number of the root of the hierarchy. The root that a cgroup namespace shows has another.
const TRUE_ROOT: u64 = 1;

/// A cgroup v2 directory, held open.
#[derive(Debug)]
pub(crate) struct Cgroup {
    directory: File,
    id: u64,
    path: PathBuf,
}

impl Cgroup {
    /// Opens the cgroup at `path`: a directory inside a mount of cgroup v2, or
    /// a path relative to the mount that shows all of it, whose root is `/`.
    ///
    /// Errors with the [`Error`] that says what is there instead.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        check_is_plain(path)?;
        let mounts = Mounts::read()?;
        let mount = mounts.whole();
        let full = locate(path, &mounts);
        let directory = File::open(&full).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => anyhow::Error::from(Error::NoSuchCgroup {
                path: full.clone(),
                hint: format!(
                    "give a directory of the cgroup v2 mount at {}, or a path relative to it",
                    mount.display()
                ),
            }),
            _ => anyhow::Error::from(error).context(format!("opening {}", full.display())),
        })?;
        check_is_cgroup(&directory, &full, mount)?;
        let id = directory.metadata().with_context(|| format!("reading {}", full.display()))?.ino();
        let full = fs::canonicalize(&full).unwrap_or(full);
        if !full.starts_with(mount) {
            let hint = format!("the cgroup v2 mount at {} does not show it: mount all of it", mount.display());
            return Err(Error::NotACgroup { path: full, hint }.into());
        }
        Ok(Self { directory, id, path: relative(&full, mount) })
    }

    /// Opens the cgroup of this process: that of the shell or the unit which started it.
    ///
    /// Errors as [`Self::open`], and where it lies outside of this cgroup namespace.
    pub(crate) fn own() -> anyhow::Result<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").context("reading /proc/self/cgroup")?;
        let path = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
        Self::open(Path::new(path))
    }

    /// The kernel's id, never used again for another cgroup.
    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    /// Whether it only looks like the root: it is that of a cgroup namespace, and so one cgroup of the host. The true
    /// root has the inode number 1.
    pub(crate) fn is_namespace_root(&self) -> bool {
        self.path == Path::new("/") && self.id != TRUE_ROOT
    }

    /// Path relative to the mount, starting with `/`.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for Cgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// Where cgroup v2 is mounted. Hybrid hosts have it elsewhere than
/// `/sys/fs/cgroup`; in a container the host's mount is wanted where there is one.
///
/// Errors with [`Error::Unsupported`] where it isn't.
pub(crate) fn mount_point() -> anyhow::Result<PathBuf> {
    Ok(Mounts::read()?.whole().to_owned())
}

/// Splits the full path of a cgroup, which need not be there: the mount point
/// of cgroup v2 that it begins with, and the path of the cgroup that is seen
/// there. `None` for paths that begin with none.
pub(crate) fn mount_of(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let mounts = Mounts::read().ok()?;
    let (point, directory) = mounts.over(path)?;
    Some((point.to_owned(), relative(&directory, mounts.whole())))
}

/// Whether the cgroup at `path` (relative to the mount) is the one with this
/// id, and not another that has taken its place.
///
/// Errors where that can't be found out, for want of descriptors, say.
pub(crate) fn exists(path: &[u8], id: u64) -> anyhow::Result<bool> {
    let directory = directory(Path::new(OsStr::from_bytes(path)))?;
    match fs::metadata(&directory) {
        Ok(metadata) => Ok(metadata.ino() == id),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("reading {}", directory.display())),
    }
}

/// The directory of the cgroup at `path` (relative to the mount).
pub(crate) fn directory(path: &Path) -> anyhow::Result<PathBuf> {
    Ok(below(&mount_point()?, path))
}

/// The directory of the cgroup at `path`, which is relative to `mount`.
pub(crate) fn below(mount: &Path, path: &Path) -> PathBuf {
    mount.join(path.strip_prefix("/").unwrap_or(path))
}

fn relative(full: &Path, mount: &Path) -> PathBuf {
    Path::new("/").join(full.strip_prefix(mount).unwrap_or(full))
}

fn check_is_cgroup(directory: &File, full: &Path, mount: &Path) -> anyhow::Result<()> {
    let metadata = directory.metadata().with_context(|| format!("reading {}", full.display()))?;
    let kind = fstatfs(directory).with_context(|| format!("reading {}", full.display()))?.f_type;
    if metadata.is_dir() && u64::try_from(kind) == Ok(CGROUP2_MAGIC) {
        return Ok(());
    }
    let hint = if !metadata.is_dir() {
        "it is a file".to_owned()
    } else if full.join("cgroup.procs").exists() {
        format!("it belongs to cgroup v1; cgroup v2 is mounted at {}", mount.display())
    } else {
        format!("cgroup v2 is mounted at {}", mount.display())
    };
    Err(Error::NotACgroup { path: full.to_owned(), hint }.into())
}

/// A directory and all below it. Cgroups may vanish at any time; those that can't be read are skipped.
pub(crate) fn tree(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        pending.extend(
            entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()),
        );
        all.push(directory);
    }
    all
}

/// Ids of the cgroup at `path` (relative to the mount) and of those below it.
pub(crate) fn ids_below(path: &Path) -> anyhow::Result<HashSet<u64>> {
    let directories = tree(&directory(path)?);
    Ok(directories.iter().filter_map(|directory| Some(fs::symlink_metadata(directory).ok()?.ino())).collect())
}

/// Id and path of the cgroup of a directory below `mount`, while it is there.
pub(crate) fn identify(directory: &Path, mount: &Path) -> Option<(u64, String)> {
    let id = fs::symlink_metadata(directory).ok()?.ino();
    Some((id, relative(directory, mount).to_string_lossy().into_owned()))
}

/// Paths of cgroups by id, for the cgroups below one of them.
#[derive(Debug, Default)]
pub(crate) struct CgroupPaths {
    by_id: HashMap<u64, String>,
}

impl CgroupPaths {
    /// Reads the tree below `root` (relative to the mount).
    pub(crate) fn below(root: &Path) -> anyhow::Result<Self> {
        let mount = mount_point()?;
        let directories = tree(&directory(root)?);
        Ok(Self { by_id: directories.iter().filter_map(|directory| identify(directory, &mount)).collect() })
    }

    /// The path of cgroup `id`, if it is still there.
    pub(crate) fn get(&self, id: u64) -> Option<&str> {
        self.by_id.get(&id).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_else_is_named() {
        for (path, expected) in [
            ("/no/such/cgroup", "no cgroup at"),
            ("/etc", "/etc is not a cgroup v2 directory: cgroup v2 is mounted at"),
            ("/etc/passwd", "/etc/passwd is not a cgroup v2 directory: it is a file"),
            ("/etc/passwd/x", "no cgroup at"),
        ] {
            let error = Cgroup::open(Path::new(path)).expect_err(path).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn the_root_has_a_path_and_an_id() {
        let root = Cgroup::open(Path::new("/")).expect("cgroup v2 is mounted");
        assert_eq!(root.path(), Path::new("/"));
        let paths = CgroupPaths::below(root.path()).expect("readable");
        assert_eq!(paths.get(root.id()), Some("/"));
        assert_eq!(paths.get(u64::MAX), None);
    }
}
