//! Resolves the path of a cgroup, as given by the user, to a directory.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use super::{below, mounts::Mounts};
use crate::error::Error;

/// What shells understand by `.` would be the whole host here.
pub(super) fn check_is_plain(path: &Path) -> Result<(), Error> {
    let is_plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if is_plain && path != Path::new("") {
        return Ok(());
    }
    Err(Error::BadValue {
        what: "the path",
        value: format!("{:?}", path.display().to_string()),
        expected:
            "write it relative to the cgroup v2 mount, without \".\" and \"..\", or the full path of its directory; \
                   \"/\" is the whole host"
                .to_owned(),
    })
}

/// A path inside a mount is taken as it is, any other as relative to the one
/// that shows all; only where nothing is there, as the directory it may name
/// elsewhere.
pub(super) fn locate(path: &Path, mounts: &Mounts) -> PathBuf {
    if let Some(directory) = inside(path, mounts) {
        return directory;
    }
    let relative = below(mounts.whole(), path);
    let is_elsewhere = path.is_absolute() && path != Path::new("/") && path.exists();
    if !is_elsewhere || relative.exists() {
        return relative;
    }
    // A link may lead into a mount.
    fs::canonicalize(path).ok().and_then(|path| inside(&path, mounts)).unwrap_or_else(|| path.to_owned())
}

/// The directory below the mount that shows all, for a path inside any.
fn inside(path: &Path, mounts: &Mounts) -> Option<PathBuf> {
    let (point, directory) = mounts.over(path)?;
    Some(directory.join(path.strip_prefix(point).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_located() {
        let mounts = Mounts::at(Path::new("/sys/fs/cgroup/unified"), &[]);
        let table = [
            ("/", "/sys/fs/cgroup/unified/"),
            ("/no-such-top", "/sys/fs/cgroup/unified/no-such-top"),
            ("a/b", "/sys/fs/cgroup/unified/a/b"),
            ("/sys/fs/cgroup/unified/a", "/sys/fs/cgroup/unified/a"),
            ("/etc", "/etc"),
        ];
        for (path, expected) in table {
            assert_eq!(locate(Path::new(path), &mounts), Path::new(expected), "{path}");
        }
    }

    #[test]
    fn a_cgroup_comes_before_a_directory_of_the_same_name() {
        let mount = tempfile::tempdir().expect("a directory");
        fs::create_dir(mount.path().join("etc")).expect("created");
        assert_eq!(locate(Path::new("/etc"), &Mounts::at(mount.path(), &[])), mount.path().join("etc"));
    }

    #[test]
    fn paths_inside_another_mount_name_what_is_seen_there() {
        let whole = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(whole.path().join("a/b")).expect("created");
        // Stands for a mount: a directory with the same inode number.
        let part = whole.path().join("a/../a");
        let mounts = Mounts::at(whole.path(), &[&part]);
        for (path, expected) in [("", "a"), ("b", "a/b"), ("c", "a/c")] {
            assert_eq!(locate(&part.join(path), &mounts), whole.path().join(expected), "{path}");
        }
        let directory = tempfile::tempdir().expect("a directory");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(whole.path().join("a/b"), &link).expect("linked");
        assert_eq!(locate(&link, &mounts), whole.path().join("a/b"));
    }

    #[test]
    fn a_path_that_would_be_taken_for_the_root_is_refused() {
        for (path, is_plain) in [
            ("", false),
            (".", false),
            ("./a", false),
            ("a/../b", false),
            ("/..", false),
            ("/", true),
            ("a.b/..c", true),
        ] {
            assert_eq!(check_is_plain(Path::new(path)).is_ok(), is_plain, "{path:?}");
        }
    }
}
