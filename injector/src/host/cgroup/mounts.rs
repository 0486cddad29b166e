//! Where cgroup v2 is mounted, by `/proc/self/mountinfo`.
//!
//! Read as bytes, and each line for itself: a user who may mount something (FUSE lets every user) chooses a name for it that
//! need not be UTF-8. A reader that fails at such a line would find no cgroup v2 on that host any more.

use std::{
    ffi::OsString,
    fs,
    os::unix::{ffi::OsStringExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use rustix::{
    fs::{AtFlags, CWD, StatxFlags, statx},
    io::Errno,
};

use crate::error::Error;

/// A mount of cgroup v2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    id: u64,
    /// How far above our cgroup namespace its root lies; `None` for what lies below or beside that.
    levels: Option<usize>,
    /// Where it is mounted.
    pub point: PathBuf,
}

/// All mounts of cgroup v2 that can be reached, of which there may be several: Cilium and bpftune mount it a second time,
/// and a container may have a part of it.
#[derive(Clone, Debug)]
pub(super) struct Mounts {
    whole: PathBuf,
    all: Vec<PathBuf>,
}

impl Mounts {
    /// Those of now.
    ///
    /// Errors with [`Error::Unsupported`] where none shows the hierarchy from its root on.
    pub(super) fn read() -> anyhow::Result<Self> {
        let mountinfo = fs::read("/proc/self/mountinfo").context("reading /proc/self/mountinfo")?;
        let mut mounts = cgroup2_mounts(&mountinfo);
        mounts.retain(is_on_top);
        let whole = whole(&mounts).map(|mount| mount.point.clone());
        let all: Vec<_> = mounts.into_iter().map(|mount| mount.point).collect();
        match whole {
            Some(whole) => Ok(Self { whole, all }),
            None => Err(nowhere(&all).into()),
        }
    }

    /// What is mounted at these points.
    #[cfg(test)]
    pub(super) fn at(whole: &Path, others: &[&Path]) -> Self {
        let all = [&[whole], others].concat().into_iter().map(Path::to_owned).collect();
        Self { whole: whole.to_owned(), all }
    }

    /// The mount point that all paths are relative to.
    pub(super) fn whole(&self) -> &Path {
        &self.whole
    }

    /// The mount point that `path` lies at or below, and the directory below [`Self::whole`] that is seen there; `None`
    /// for what lies below none. Nothing need be at `path` itself.
    pub(super) fn over(&self, path: &Path) -> Option<(&Path, PathBuf)> {
        let above = self.all.iter().filter(|point| path.starts_with(point));
        let point = above.max_by_key(|point| point.components().count())?;
        Some((point, self.seen_at(point)?))
    }

    /// What is at a mount point, below the whole. It has the same inode number wherever it is seen.
    fn seen_at(&self, point: &Path) -> Option<PathBuf> {
        if point == self.whole {
            return Some(self.whole.clone());
        }
        let inode = |path: &Path| Some(fs::symlink_metadata(path).ok()?.ino());
        let wanted = inode(point)?;
        super::tree(&self.whole).into_iter().find(|directory| inode(directory) == Some(wanted))
    }
}

fn nowhere(parts: &[PathBuf]) -> Error {
    let what = match parts.first() {
        None => "cgroup v2 is not mounted".to_owned(),
        Some(part) => format!("no mount shows cgroup v2 from its root on, only a part of it, at {}", part.display()),
    };
    let cure =
        "mount it: mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified".to_owned();
    Error::Unsupported { what, cure }
}

/// Whether what one finds at the mount point is this mount, and not another on top of it, which may hide the very
/// directory. Where that can't be asked it is taken to be so.
fn is_on_top(mount: &Mount) -> bool {
    match statx(CWD, &mount.point, AtFlags::empty(), StatxFlags::MNT_ID) {
        Ok(found) => found.stx_mask & StatxFlags::MNT_ID.bits() == 0 || found.stx_mnt_id == mount.id,
        Err(error) => matches!(error, Errno::NOSYS | Errno::PERM),
    }
}

/// The mount from which most of the hierarchy is seen, the first one of them: a second one must not change what paths
/// mean. `None` where none shows it from a root on.
pub fn whole(mounts: &[Mount]) -> Option<&Mount> {
    mounts.iter().rev().filter(|mount| mount.levels.is_some()).max_by_key(|mount| mount.levels)
}

/// The mounts of cgroup v2, in their order.
pub fn cgroup2_mounts(mountinfo: &[u8]) -> Vec<Mount> {
    mountinfo.split(|&byte| byte == b'\n').filter_map(cgroup2).collect()
}

/// The fields are those of `proc_pid_mountinfo(5)`: ID, parent, device, root, mount point, options, optional fields, `-`,
/// type.
fn cgroup2(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let id = str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let (root, point) = (fields.nth(2)?, fields.next()?);
    let is_cgroup2 = fields.skip_while(|field| *field != b"-").nth(1)? == b"cgroup2";
    let point = OsString::from_vec(unescaped(point)).into();
    is_cgroup2.then(|| Mount { id, levels: levels_above(root), point })
}

/// How far above our cgroup namespace a mount's root lies: `/` is its own, `/../..` two levels above. The root of the
/// host's hierarchy looks like that from within a container. `None` for what lies below or beside it.
fn levels_above(root: &[u8]) -> Option<usize> {
    let mut parts = root.split(|&byte| byte == b'/').filter(|part| !part.is_empty());
    parts.try_fold(0, |levels, part| (part == b"..").then_some(levels + 1))
}

/// Blanks, line ends and backslashes are written as three octal digits (`seq_path` in `fs/seq_file.c`).
fn unescaped(mut field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    while let Some((&first, rest)) = field.split_first() {
        let escaped = if first == b'\\' { rest.split_at_checked(3) } else { None };
        let octal = escaped.and_then(|(digits, rest)| Some((octal(digits)?, rest)));
        let (byte, rest) = octal.unwrap_or((first, rest));
        bytes.push(byte);
        field = rest;
    }
    bytes
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UNIFIED: &[u8] = b"41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate";

    fn found(lines: &[&[u8]]) -> Option<PathBuf> {
        whole(&cgroup2_mounts(&lines.join(&b'\n'))).map(|mount| mount.point.clone())
    }

    #[test]
    fn the_hierarchy_is_distinguished_from_parts_of_it() {
        for (root, levels) in
            [("/", Some(0)), ("/..", Some(1)), ("/../../..", Some(3)), ("/../kubepods", None), ("/system.slice", None)]
        {
            assert_eq!(levels_above(root.as_bytes()), levels, "{root}");
        }
    }

    #[test]
    fn mounts() {
        let v1 = b"32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu";
        let part = b"50 31 0:38 /system.slice /part rw - cgroup2 cgroup2 rw";
        let host = b"51 31 0:38 /../.. /host rw master:1 propagate_from:2 - cgroup2 none rw";
        let second = b"60 31 0:38 / /run/cilium/cgroupv2 rw - cgroup2 none rw";
        let blanks = b"52 31 0:38 / /a\\040b\\134c rw - cgroup2 none rw";
        let table: [(&[&[u8]], Option<&str>); 9] = [
            (&[v1, UNIFIED], Some("/sys/fs/cgroup/unified")),
            (&[v1, part], None),
            (&[UNIFIED, host, part], Some("/host")),
            (&[host, UNIFIED], Some("/host")),
            (&[UNIFIED, second], Some("/sys/fs/cgroup/unified")),
            (&[part, second, UNIFIED, second], Some("/run/cilium/cgroupv2")),
            (&[blanks], Some("/a b\\c")),
            (&[b"1 2 0:3 / /x rw - fuse.cgroup2 cgroup2 rw"], None),
            (&[b"", b"-", b"- cgroup2", b"1 2 3 / /x - cgroup2", b"x 2 3 / /y - cgroup2"], Some("/x")),
        ];
        for (lines, expected) in table {
            assert_eq!(found(lines).as_deref(), expected.map(Path::new), "{lines:?}");
        }
    }

    #[test]
    fn a_name_that_is_no_text_hides_nothing() {
        let hostile = b"90 31 0:77 / /home/x/\xff\xfe rw - fuse.x \xff rw";
        assert_eq!(found(&[hostile, UNIFIED, hostile]), Some("/sys/fs/cgroup/unified".into()));
    }

    proptest! {
        #[test]
        fn other_lines_hide_nothing(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            let line: Vec<u8> = line.into_iter().filter(|&byte| byte != b'\n').collect();
            let hides = cgroup2(&line).is_some_and(|mount| mount.levels.is_some());
            prop_assert!(hides || found(&[&line, UNIFIED]) == Some("/sys/fs/cgroup/unified".into()));
        }
    }
}
