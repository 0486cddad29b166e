//! Where cgroup v2 is mounted, by `/proc/self/mountinfo`.
//!
//! Read as bytes, and each line for itself: whoever may mount something (FUSE lets every user) chooses a name for it that
//! need not be UTF-8. A reader that fails at such a line would find no cgroup v2 on that host any more.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _, path::PathBuf};

/// The mount point of cgroup v2 from which most of the hierarchy is seen; `None` where there is none.
pub fn cgroup2_mount(mountinfo: &[u8]) -> Option<PathBuf> {
    let mounts = mountinfo.split(|&byte| byte == b'\n').filter_map(cgroup2);
    let (_, point) = mounts.max_by_key(|(levels, _)| *levels)?;
    Some(OsString::from_vec(unescaped(point)).into())
}

/// How far above our cgroup namespace the root of a mount of cgroup v2 lies, and the mount point as it is written. The
/// fields are those of `proc_pid_mountinfo(5)`: ID, parent, device, root, mount point, options, optional fields, `-`, type.
fn cgroup2(line: &[u8]) -> Option<(usize, &[u8])> {
    let mut fields = line.split(|&byte| byte == b' ');
    let (root, point) = (fields.nth(3)?, fields.next()?);
    let is_cgroup2 = fields.skip_while(|field| *field != b"-").nth(1)? == b"cgroup2";
    is_cgroup2.then_some((levels_above(root)?, point))
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
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    const UNIFIED: &[u8] = b"41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate";

    fn found(lines: &[&[u8]]) -> Option<PathBuf> {
        cgroup2_mount(&lines.join(&b'\n'))
    }

    #[test]
    fn the_hierarchy_is_told_from_parts_of_it() {
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
        let blanks = b"52 31 0:38 / /a\\040b\\134c rw - cgroup2 none rw";
        let table: [(&[&[u8]], Option<&str>); 7] = [
            (&[v1, UNIFIED], Some("/sys/fs/cgroup/unified")),
            (&[v1, part], None),
            (&[UNIFIED, host, part], Some("/host")),
            (&[host, UNIFIED], Some("/host")),
            (&[blanks], Some("/a b\\c")),
            (&[b"1 2 0:3 / /x rw - fuse.cgroup2 cgroup2 rw"], None),
            (&[b"", b"-", b"- cgroup2", b"1 2 3 / /x - cgroup2"], Some("/x")),
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
            let hides = cgroup2(&line).is_some_and(|(levels, _)| levels > 0);
            prop_assert!(hides || found(&[&line, UNIFIED]) == Some("/sys/fs/cgroup/unified".into()));
        }
    }
}
