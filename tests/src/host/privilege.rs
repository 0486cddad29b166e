//! End-to-end tests need root, and fail without it: a skipped test would look like a passed one.

/// Panics unless the process runs as root.
pub fn require_root() {
    assert!(rustix::process::geteuid().is_root(), "needs root: run through `cargo xtask test` as root");
}
