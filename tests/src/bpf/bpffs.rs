//! The BPF file system, mounted once for all tests.

use std::fs::{self, File};
use std::sync::Once;

use crate::programs::command::tool;

/// Where programs and links are pinned.
pub(crate) const BPFFS: &str = "/sys/fs/bpf";
const LOCK: &str = "/run/injector-tests.lock";

/// Mounts bpffs where nobody has. Tests share it: two that mounted it each for itself would hide each other's pins.
pub(crate) fn ensure_mounted() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let lock = File::create(LOCK).unwrap_or_else(|error| panic!("cannot make {LOCK}: {error}"));
        lock.lock().unwrap_or_else(|error| panic!("cannot lock {LOCK}: {error}"));
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("procfs is mounted");
        if !mounts.lines().any(is_bpffs) {
            tool("mount", &["-t", "bpf", "bpf", BPFFS]);
        }
    });
}

fn is_bpffs(line: &str) -> bool {
    let at_the_place = line.split(' ').nth(4) == Some(BPFFS);
    at_the_place && line.split_once(" - ").is_some_and(|(_, kind)| kind.starts_with("bpf "))
}
