//! What some work costs this process.

use std::time::Instant;

use anyhow::Result;
use rustix::time::{ClockId, Timespec, clock_gettime};
use serde::Serialize;

/// Time of the wall clock and of the processors, that of the kernel in this process's name included.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Cost {
    wall_ns: u64,
    cpu_ns: u64,
}

/// Does some work, and returns what it cost.
pub(crate) fn of(work: impl FnOnce() -> Result<()>) -> Result<Cost> {
    let (wall, cpu) = (Instant::now(), cpu_ns());
    work()?;
    Ok(Cost { wall_ns: u64::try_from(wall.elapsed().as_nanos())?, cpu_ns: cpu_ns() - cpu })
}

/// As `getrusage` has it, to the nanosecond.
fn cpu_ns() -> u64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::ProcessCPUTime);
    (tv_sec * 1_000_000_000 + tv_nsec).unsigned_abs()
}
