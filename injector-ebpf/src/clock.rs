//! The kernel's clocks.

use aya_ebpf::helpers::{bpf_ktime_get_boot_ns, bpf_ktime_get_ns, generated::bpf_jiffies64};
use injector_common::idle::Now;

use crate::maps::ticks_per_second;

/// `CLOCK_BOOTTIME`: suspended time counts. Since 5.8.
#[inline(always)]
pub fn boot_ns() -> u64 {
    // SAFETY: has no preconditions.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// `CLOCK_MONOTONIC`: it does not.
#[inline(always)]
pub fn monotonic_ns() -> u64 {
    // SAFETY: has no preconditions.
    unsafe { bpf_ktime_get_ns() }
}

/// Jiffies, lowest 32 bits, as the socket's stamps are.
#[inline(always)]
pub fn ticks() -> u32 {
    // SAFETY: has no preconditions.
    let ticks = unsafe { bpf_jiffies64() };
    #[expect(clippy::cast_possible_truncation, reason = "that is what is asked for")]
    let lowest = ticks as u32;
    lowest
}

/// All of them; read after a socket's stamps, which then lie in the past.
#[inline(always)]
pub fn now() -> Now {
    Now { boot_ns: boot_ns(), monotonic_ns: monotonic_ns(), ticks: ticks(), ticks_per_second: ticks_per_second() }
}
