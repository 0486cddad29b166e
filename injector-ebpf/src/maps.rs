//! The maps and globals, and the counters on top of them. Names and layouts
//! are those of `injector-common`.

use aya_ebpf::{
    btf_maps::{Array, PerCpuArray, SkStorage},
    macros::btf_map,
};
use injector_common::{attachment::Attachment, flow::FlowRecord, keepalive::Policy, offsets, scan::ScanControl, stats};

/// One record per flow, freed by the kernel with its socket.
#[btf_map]
pub static FLOWS: SkStorage<FlowRecord> = SkStorage::new();

#[btf_map]
static POLICY: Array<Policy, 1> = Array::new();

#[btf_map]
static COUNTERS: PerCpuArray<u64, { stats::COUNTERS as usize }> = PerCpuArray::new();

#[btf_map]
static SCAN_CONTROL: Array<ScanControl, 1> = Array::new();

/// Not used by any program: what userspace wants to find again.
#[btf_map]
static ATTACHMENT: Array<Attachment, 1> = Array::new();

/// In `.rodata`, which is frozen before loading: constants to the verifier.
/// 5.10 refuses socket pointers moved by anything else.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata")]
static OFFSETS: [u32; offsets::COUNT] = [0; offsets::COUNT];

#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata")]
static TICKS_PER_SECOND: u32 = 0;

/// Where the kernel keeps `member` (an index of [`offsets`]).
#[inline(always)]
pub fn offset(member: usize) -> usize {
    // SAFETY: `member` is one of the indices that `offsets` defines. Volatile,
    // because the loader fills the array after the compiler has seen its zeros.
    unsafe { (&raw const OFFSETS).cast::<u32>().add(member).read_volatile() as usize }
}

/// Jiffies per second.
#[inline(always)]
pub fn ticks_per_second() -> u32 {
    // SAFETY: a valid static; volatile for the same reason.
    unsafe { (&raw const TICKS_PER_SECOND).read_volatile() }
}

/// The policy in force.
#[inline(always)]
pub fn policy() -> Option<&'static Policy> {
    POLICY.get(0)
}

/// The scan under way.
#[inline(always)]
pub fn scan_control() -> Option<*mut ScanControl> {
    SCAN_CONTROL.get_ptr_mut(0)
}

/// Adds one to a counter of [`stats`].
#[inline(always)]
pub fn count(index: u32) {
    if let Some(counter) = COUNTERS.get_ptr_mut(index) {
        // SAFETY: the slot is this CPU's own, and programs are not migrated
        // while they run.
        unsafe { *counter += 1 }
    }
}
