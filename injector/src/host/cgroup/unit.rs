//! Cgroups that systemd manages itself.

use std::path::{Path, PathBuf};

use rustix::{fs::getxattr, io::Errno};

/// Kinds of units with processes of their own. Slices have none: systemd lets others attach beside its programs there.
const KINDS: [&str; 5] = ["service", "scope", "socket", "mount", "swap"];

/// Where systemd notes that a unit's cgroup is delegated (`Delegate=`); the second one for readers without
/// `CAP_SYS_ADMIN`, from systemd 251 on.
const DELEGATE: [&str; 2] = ["trusted.delegate", "user.delegate"];

/// The unit that the cgroup at `path` (relative to the mount) belongs to, where that does not delegate its cgroup.
pub(crate) fn undelegated(path: &Path) -> anyhow::Result<Option<PathBuf>> {
    let Some(unit) = unit_of(path) else { return Ok(None) };
    let directory = super::directory(unit)?;
    let is_delegated = DELEGATE.iter().any(|name| is_set(&directory, name));
    Ok((!is_delegated).then(|| unit.to_owned()))
}

/// The lowest unit on the path of a cgroup. Below it is what that delegates, or what a program in it made without asking.
pub(crate) fn unit_of(path: &Path) -> Option<&Path> {
    let is_unit = |path: &&Path| path.extension().is_some_and(|kind| KINDS.iter().any(|known| kind == *known));
    path.ancestors().find(is_unit)
}

fn is_set(directory: &Path, name: &str) -> bool {
    let mut value = [0; 8];
    let read: Result<usize, Errno> = getxattr(directory, name, &mut value);
    read.is_ok_and(|length| value[..length] == *b"1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_of_a_path() {
        for (path, unit) in [
            ("/", None),
            ("/system.slice", None),
            ("/system.slice/a.service", Some("/system.slice/a.service")),
            ("/system.slice/a.service/child", Some("/system.slice/a.service")),
            (
                "/user.slice/user-0.slice/user@0.service/app.slice/x.scope",
                Some("/user.slice/user-0.slice/user@0.service/app.slice/x.scope"),
            ),
            ("/user.slice/user-0.slice/user@0.service/app.slice", Some("/user.slice/user-0.slice/user@0.service")),
            ("/kubepods/burstable/pod1/abc", None),
        ] {
            assert_eq!(unit_of(Path::new(path)), unit.map(Path::new), "{path}");
        }
    }
}
