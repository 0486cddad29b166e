//! Whether root, or this user, made the files where our pins are.
//!
//! By default every user may write to bpffs, with the sticky bit: any user may be the first to make a directory in it,
//! or a symlink, under the name that we would take. So nothing there is opened or followed before its whole path is
//! known to belong to root or this user. From the mount downwards: what was checked can then not be replaced any more.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use rustix::{fs::FileType, process::geteuid};

use super::denied;
use crate::{error::Error, host::trust};

/// The expected kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The mount of bpffs itself.
    Mount,
    /// A directory of ours.
    Directory,
    /// A pinned object.
    Object,
}

/// Sticky: users who may write to the directory may still not touch the files of others in it.
const STICKY: u32 = 0o1000;

/// Checks what `path` itself is, without following links. A missing file is fine: opening it reports that.
///
/// Errors with [`Error::Refused`].
pub(crate) fn check(path: &Path, expected: Expected) -> anyhow::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(|error| denied(error, path))?,
    };
    match objection(expected, found.mode(), found.uid(), geteuid().as_raw()) {
        Some(why) => Err(Error::Refused { path: path.to_owned(), why }.into()),
        None => Ok(()),
    }
}

/// Why a file with this mode and owner is not trusted to be made by `user` or root; `None` where it is.
fn objection(expected: Expected, mode: u32, owner: u32, user: u32) -> Option<String> {
    let kind = FileType::from_raw_mode(mode);
    if kind == FileType::Symlink {
        return Some("it is a symlink, and injector makes none: remove it".to_owned());
    }
    let (wanted, name) = match expected {
        Expected::Mount | Expected::Directory => (FileType::Directory, "directory"),
        Expected::Object => (FileType::RegularFile, "pinned object"),
    };
    if kind != wanted {
        return Some(format!("it is not a {name}: remove it"));
    }
    let is_guarded = expected == Expected::Mount && mode & STICKY != 0;
    trust::objection(if is_guarded { mode & !0o022 } else { mode }, owner, user)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRECTORY: u32 = 0o040_000;
    const FILE: u32 = 0o100_000;
    const LINK: u32 = 0o120_000;

    #[test]
    fn what_is_refused() {
        use Expected::{Directory, Mount, Object};
        let table = [
            (Mount, DIRECTORY | 0o1777, 0, None),
            (Mount, DIRECTORY | 0o700, 0, None),
            (Mount, DIRECTORY | 0o777, 0, Some("(mode 0777)")),
            (Mount, DIRECTORY | 0o1777, 500, Some("belongs to user 500, not to root or user 7")),
            (Directory, DIRECTORY | 0o700, 0, None),
            (Directory, DIRECTORY | 0o755, 7, None),
            (Directory, DIRECTORY | 0o700, 500, Some("belongs to user 500")),
            (Directory, DIRECTORY | 0o1777, 0, Some("others may write to it (mode 1777)")),
            (Directory, DIRECTORY | 0o770, 0, Some("others may write")),
            (Directory, LINK | 0o777, 0, Some("a symlink")),
            (Directory, FILE | 0o600, 0, Some("not a directory")),
            (Object, FILE | 0o600, 0, None),
            (Object, FILE | 0o644, 7, None),
            (Object, FILE | 0o602, 0, Some("others may write")),
            (Object, FILE | 0o600, 1, Some("belongs to user 1")),
            (Object, DIRECTORY | 0o700, 0, Some("not a pinned object")),
            (Object, LINK | 0o777, 0, Some("a symlink")),
        ];
        for (expected, mode, owner, part) in table {
            let found = objection(expected, mode, owner, 7);
            let is_right = match (&found, part) {
                (None, None) => true,
                (Some(why), Some(part)) => why.contains(part),
                _ => false,
            };
            assert!(is_right, "{expected:?} {mode:o} of {owner}: {found:?}");
        }
        assert_eq!(
            objection(Directory, DIRECTORY | 0o700, 1, 0).expect("refused"),
            "it belongs to user 1, not to root: remove it, or chown it"
        );
    }

    #[test]
    fn a_link_is_not_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/nowhere", &link).expect("made");
        let error = check(&link, Expected::Directory).expect_err("refused");
        assert!(matches!(error.downcast_ref(), Some(Error::Refused { .. })), "{error:#}");
        assert!(error.to_string().contains("it is a symlink"), "{error:#}");
        check(&directory.path().join("nothing"), Expected::Object).expect("nothing is there");
    }
}
