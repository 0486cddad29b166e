//! Waiting for a state of the kernel that comes with no event.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that a local kernel does at once. Machines are busy: it only bounds a failure.
pub const SOON: Duration = Duration::from_secs(120);

const PAUSE: Duration = Duration::from_millis(10);

/// Calls `probe` until it returns a value, and panics with `what` when none came in time.
pub fn eventually<T>(what: &str, within: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(started.elapsed() < within, "not within {within:?}: {what}");
        thread::sleep(PAUSE);
    }
}
