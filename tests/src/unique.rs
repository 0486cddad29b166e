//! Names that no other test uses.

use std::sync::atomic::{AtomicU32, Ordering};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A name such as `injtest-4711-3-client`, unique on this machine while this process lives.
pub fn unique_name(role: &str) -> String {
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("injtest-{}-{number}-{role}", std::process::id())
}
