//! The default name of an attachment, from the path of its cgroup.

use std::path::Path;

/// Longest name, well below what a directory entry can have.
pub(super) const MAX_NAME: usize = 200;
/// Nothing but the root has it.
const ROOT: &str = "root";
/// Between what the path leaves of a name and its digest. Unchanged names never have it.
const MARK: &str = "--";
const DIGEST: usize = 8;

/// `/a-b` becomes `a-b`. A digest of the path follows where anything had to be replaced, be it the `/` between two parts,
/// or the name would be too long: other paths may be left with the same characters.
pub(super) fn of_cgroup(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    let text = path.to_string_lossy();
    let text = text.trim_matches('/');
    if text.is_empty() {
        return ROOT.to_owned();
    }
    // bpffs takes no dots, and aya no other names than these.
    let is_kept = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
    let name: String = text
        .chars()
        .map(|char| match char {
            '/' => '-',
            char if is_kept(char) => char,
            _ => '_',
        })
        .collect();
    if name == text && name != ROOT && !name.contains(MARK) && name.len() <= MAX_NAME {
        return name;
    }
    // The end of a path says most; all characters are ASCII by now.
    let start = name.len().saturating_sub(MAX_NAME - MARK.len() - DIGEST);
    format!("{}{MARK}{:0DIGEST$x}", &name[start..], digest(bytes))
}

/// FNV-1a, folded: the same in each build, as a later one has to find what an earlier one pinned.
fn digest(bytes: &[u8]) -> u32 {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    #[expect(clippy::cast_possible_truncation, reason = "both halves, folded")]
    let folded = (hash ^ hash >> 32) as u32;
    folded
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, ffi::OsStr, os::unix::ffi::OsStrExt as _};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_from_cgroups() {
        for (path, name) in [
            ("/", "root"),
            ("/a", "a"),
            ("/a-b", "a-b"),
            ("/A_1", "A_1"),
            ("/a/b", "a-b--85b0c850"),
            ("/a--b", "a--b--b8864aea"),
            ("/system.slice/legacy.service", "system_slice-legacy_service--ce765470"),
        ] {
            assert_eq!(of_cgroup(Path::new(path)), name, "{path}");
        }
    }

    /// Each of these was left with the name of another.
    #[test]
    fn names_do_not_collide() {
        let long = |start: &str| format!("/{start}-{}", "x".repeat(210));
        let paths: [&[u8]; 16] = [
            b"/",
            b"/root",
            b"/a.b",
            b"/a_b",
            b"/a-b",
            b"/a/b",
            b"/x@1",
            b"/x_1",
            b"/x-1",
            b"/x/1",
            b"/bad\xff",
            b"/bad\xfe",
            b"/bad_",
            b"/bad",
            &long("b").into_bytes(),
            &long("c").into_bytes(),
        ];
        let names: HashSet<_> = paths.iter().map(|path| of_cgroup(Path::new(OsStr::from_bytes(path)))).collect();
        assert_eq!(names.len(), paths.len(), "{names:?}");
    }

    proptest! {
        #[test]
        fn plain_paths_have_names_of_their_own(one in "/[a_1/-]{1,6}", other in "/[a_1-]{1,6}") {
            let part = |path: &str| path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
            let paths = [one, other].map(|path| format!("/{}", part(&path).join("/")));
            let [one, other] = paths.each_ref().map(|path| of_cgroup(Path::new(path)));
            prop_assert_eq!(one == other, paths[0] == paths[1], "{:?}", paths);
        }
    }
}
