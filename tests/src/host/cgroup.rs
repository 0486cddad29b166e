//! A cgroup v2 directory that is gone when the guard is dropped.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::deadline::SOON;
use crate::host::isolation::isolate;
use crate::programs::command::tool;
use crate::unique::unique_name;

/// A cgroup below the cgroup v2 mount. Dropping it kills what runs in it and removes it with its children.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes a cgroup of its own directly below the mount.
    pub fn new(role: &str) -> Self {
        isolate();
        // Without `-`, so that the name of its attachment is the path.
        Self::make(mount_point().join(unique_name(role).replace('-', "_")))
    }

    /// Makes a cgroup inside this one.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self::make(self.path.join(name))
    }

    fn make(path: PathBuf) -> Self {
        fs::create_dir(&path).unwrap_or_else(|error| panic!("cannot make cgroup {}: {error}", path.display()));
        Self { path }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves a process into it. Sockets that the process has stay with the cgroup that they were made in.
    pub fn admit(&self, pid: u32) {
        fs::write(self.path.join("cgroup.procs"), pid.to_string()).expect("the process runs");
    }

    /// The directory, as the text that goes on a command line.
    pub fn path_text(&self) -> &str {
        self.path.to_str().expect("cgroup paths here are ASCII")
    }

    /// The path as the kernel prints it, from the root of the mount: `/a/b`.
    pub fn kernel_path(&self) -> String {
        let below = self.path.strip_prefix(mount_point()).expect("made below the mount");
        format!("/{}", below.display())
    }

    /// The name that `injector attach` derives from the path: `/a` gives `a`, and `/a/b` gives `a-b` with a digest of the
    /// path (FNV-1a, folded to 32 bits).
    pub fn attachment_name(&self) -> String {
        let path = self.kernel_path();
        let parts = &path[1..];
        let is_plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
        if parts.chars().all(is_plain) {
            return parts.to_owned();
        }
        let replaced: String = parts
            .chars()
            .map(|char| {
                if is_plain(char) {
                    char
                } else if char == '/' {
                    '-'
                } else {
                    '_'
                }
            })
            .collect();
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = path.bytes().fold(0xcbf2_9ce4_8422_2325, step);
        format!("{replaced}--{:08x}", (hash ^ (hash >> 32)) & 0xffff_ffff)
    }

    /// The cgroup's id in the kernel: the inode of its directory.
    pub fn id(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(&self.path).expect("the guard keeps its directory").ino()
    }

    /// What is attached to this cgroup, as bpftool sees it: pairs of attach type and program name.
    pub fn programs(&self) -> Vec<(String, String)> {
        let field = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        self.attached().iter().map(|entry| (field(entry, "attach_type"), field(entry, "name"))).collect()
    }

    /// The kernel's ids of the programs on a hook of this cgroup, for example `sock_ops`.
    pub fn program_ids(&self, hook: &str) -> Vec<u64> {
        let attached = self.attached();
        let on_hook =
            attached.iter().filter(|entry| entry["attach_type"].as_str().is_some_and(|at| at.ends_with(hook)));
        on_hook.map(|entry| entry["id"].as_u64().expect("programs have ids")).collect()
    }

    /// The id of the only program on a hook of this cgroup.
    #[track_caller]
    pub fn only_program(&self, hook: &str) -> u64 {
        let ids = self.program_ids(hook);
        assert_eq!(ids.len(), 1, "programs on {hook} of {}: {ids:?}", self.path.display());
        ids[0]
    }

    fn attached(&self) -> Vec<Value> {
        let text = tool("bpftool", &["--json", "cgroup", "show", self.path_text()]);
        if text.trim().is_empty() {
            return Vec::new();
        }
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("bpftool printed {text:?}: {error}"))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let deadline = Instant::now() + SOON;
        while let Err(error) = remove_tree(&self.path) {
            if Instant::now() > deadline {
                // No second panic while a test unwinds: the failure itself matters more than what it leaves.
                assert!(std::thread::panicking(), "cannot remove cgroup {}: {error}", self.path.display());
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Kills everything in the cgroup and below, then removes the directories from the leaves up.
fn remove_tree(path: &Path) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    kill_all(path);
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}

fn kill_all(path: &Path) {
    // `cgroup.kill` came with 5.14; before that each process has to be found.
    if fs::write(path.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    // A threaded cgroup has no processes: they are in one above it.
    for line in fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default().lines() {
        if let Some(pid) = line.parse().ok().and_then(Pid::from_raw) {
            // A process that went by itself is what we want.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Where cgroup v2 is mounted, for example `/sys/fs/cgroup` or, on hybrid hosts, `/sys/fs/cgroup/unified`.
pub fn mount_point() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("procfs is mounted");
    mounts
        .lines()
        .find_map(cgroup2_mount)
        .expect("no cgroup v2 mount in /proc/self/mountinfo: mount one (mount -t cgroup2 none DIR)")
}

/// The mount point, if this line of mountinfo is a cgroup v2 mount.
fn cgroup2_mount(line: &str) -> Option<PathBuf> {
    let (place, kind) = line.split_once(" - ")?;
    (kind.split(' ').next() == Some("cgroup2")).then(|| place.split(' ').nth(4).map(PathBuf::from))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_mount_among_others() {
        let v1 = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu";
        let v2 = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw";
        assert_eq!(cgroup2_mount(v1), None);
        assert_eq!(cgroup2_mount(v2), Some(PathBuf::from("/sys/fs/cgroup/unified")));
    }
}
