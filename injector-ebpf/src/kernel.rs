//! Structures of the kernel, member by member.

use aya_ebpf::helpers::bpf_probe_read_kernel;

use crate::maps::offset;

/// Reads a member (an index of [`injector_common::offsets`]) of the structure
/// at `base`. Errors where nothing can be read there.
#[inline(always)]
pub fn read<T>(base: *const u8, member: usize) -> Result<T, i32> {
    // SAFETY: the helper checks the address and copies; every `T` used is a
    // plain integer or pointer, valid for any bytes.
    unsafe { bpf_probe_read_kernel(base.wrapping_add(offset(member)).cast()) }
}
