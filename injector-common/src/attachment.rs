//! What an attachment says of itself to later invocations.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Longest path kept, as the kernel's `PATH_MAX` without its terminator.
pub const MAX_PATH: usize = 4095;

/// The value of the `ATTACHMENT` map.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Attachment {
    /// Wall-clock time of attaching: milliseconds since the Unix epoch.
    pub since_unix_ms: u64,
    /// Kernel's id of the cgroup, which is never used again for another one.
    pub cgroup_id: u64,
    /// Tells builds of the BPF object apart.
    pub build: u64,
    path_len: u16,
    path: [u8; MAX_PATH],
    padding: [u8; 7],
}

const _: () = assert!(size_of::<Attachment>() == 24 + 2 + MAX_PATH + 7);

impl Attachment {
    /// `path` is relative to the cgroup v2 mount and starts with `/`. A longer
    /// one than [`MAX_PATH`] is cut: it only serves as a description.
    pub fn new(since_unix_ms: u64, cgroup_id: u64, build: u64, path: &[u8]) -> Self {
        let len = path.len().min(MAX_PATH);
        let mut bytes = [0; MAX_PATH];
        bytes[..len].copy_from_slice(&path[..len]);
        #[expect(clippy::cast_possible_truncation, reason = "at most MAX_PATH")]
        Self { since_unix_ms, cgroup_id, build, path_len: len as u16, path: bytes, padding: [0; 7] }
    }

    /// The cgroup's path, relative to the cgroup v2 mount.
    pub fn path(&self) -> &[u8] {
        &self.path[..usize::from(self.path_len).min(MAX_PATH)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_comes_back() {
        let long = [b'x'; MAX_PATH + 1];
        for (path, expected) in [(&b"/"[..], &b"/"[..]), (b"/a/b", b"/a/b"), (&long, &long[..MAX_PATH])] {
            assert_eq!(Attachment::new(1, 2, 3, path).path(), expected);
        }
    }
}
