//! What an attachment says of itself to later invocations.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::names::COMPANIONS;

/// Longest path kept, as the kernel's `PATH_MAX` without its terminator.
pub const MAX_PATH: usize = 4095;

/// The value of the `ATTACHMENT` map.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Attachment {
    /// Wall-clock time of attaching: milliseconds since the Unix epoch.
    pub since_unix_ms: u64,
    /// The same moment on the clock that counts from boot, suspended time
    /// included: nanoseconds.
    pub since_boot_ns: u64,
    /// Kernel's id of the cgroup, which is never used again for another one.
    pub cgroup_id: u64,
    /// Identifies the build of the BPF object.
    pub build: u64,
    /// Identifies the rules of the generation.
    pub rules: u64,
    /// How often to look at the flows.
    pub pace: Pace,
    /// Kernel's ids of this generation's programs named in
    /// [`crate::names::COMPANIONS`]; 0 for those that were not loaded.
    pub companion_program_ids: [u32; COMPANIONS.len()],
    padding_before_path: u32,
    path_len: u16,
    path: [u8; MAX_PATH],
    /// 1 where packets are tracked, otherwise 0.
    pub tracks_packets: u8,
    /// 1 where this host refused the guard and it was not requested, otherwise
    /// 0.
    pub lacks_guard: u8,
    padding: [u8; 5],
}

const _: () = assert!(size_of::<Attachment>() == 64 + 2 + MAX_PATH + 2 + 5);

/// How soon after each other the flows can have something to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Pace {
    /// No flow is at its warning mark sooner than this after it was opened, in
    /// milliseconds.
    pub first_ms: u32,
    /// No flow passes from its mark to its limit in less, in milliseconds.
    pub margin_ms: u32,
}

impl Pace {
    /// What nothing is slower than.
    pub const SLOWEST: Self = Self { first_ms: u32::MAX, margin_ms: u32::MAX };
}

/// When something was attached, on two clocks.
#[derive(Clone, Copy, Debug)]
pub struct Since {
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// Nanoseconds since boot, suspended time included.
    pub boot_ns: u64,
}

impl Attachment {
    /// `path` is relative to the cgroup v2 mount and starts with `/`. A longer
    /// one than [`MAX_PATH`] is cut: it only serves as a description.
    pub fn new(since: Since, cgroup_id: u64, path: &[u8]) -> Self {
        let len = path.len().min(MAX_PATH);
        let mut bytes = [0; MAX_PATH];
        bytes[..len].copy_from_slice(&path[..len]);
        Self {
            since_unix_ms: since.unix_ms,
            since_boot_ns: since.boot_ns,
            cgroup_id,
            build: 0,
            rules: 0,
            pace: Pace::SLOWEST,
            companion_program_ids: [0; COMPANIONS.len()],
            padding_before_path: 0,
            #[expect(clippy::cast_possible_truncation, reason = "at most MAX_PATH")]
            path_len: len as u16,
            path: bytes,
            tracks_packets: 0,
            lacks_guard: 0,
            padding: [0; 5],
        }
    }

    /// When it was attached.
    pub const fn since(&self) -> Since {
        Since { unix_ms: self.since_unix_ms, boot_ns: self.since_boot_ns }
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
            assert_eq!(Attachment::new(Since { unix_ms: 1, boot_ns: 2 }, 3, path).path(), expected);
        }
    }
}
