//! What the BPF programs must know of the running kernel before they load.

use std::fs;

use anyhow::Context as _;
use injector_common::offsets::{COUNT, FIRST_HINT, MEMBERS};
use rustix::time::{ClockId, clock_getres};

use super::btf::{Btf, BtfError};
use crate::error::Error;

/// The kernel's BTF.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// Offsets of all [`MEMBERS`] in the running kernel.
///
/// Errors with [`Error::Unsupported`] where the kernel has no BTF or lacks a
/// member that is more than a hint.
pub fn offsets() -> anyhow::Result<[u32; COUNT]> {
    let data = fs::read(KERNEL_BTF).map_err(|error| Error::Unsupported {
        what: format!("its kernel has no BTF ({KERNEL_BTF}: {error})"),
        cure: "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions do since 2020".to_owned(),
    })?;
    let found = find(&data).with_context(|| format!("reading {KERNEL_BTF}"))?;
    Ok(found)
}

fn find(data: &[u8]) -> Result<[u32; COUNT], BtfError> {
    let btf = Btf::parse(data)?;
    let mut offsets = [0; COUNT];
    for (index, (offset, member)) in offsets.iter_mut().zip(MEMBERS).enumerate() {
        *offset = match btf.offset_of(member.structure, member.path) {
            Err(BtfError::NoSuchMember { .. }) if index >= FIRST_HINT => 0,
            found => found?,
        };
    }
    Ok(offsets)
}

/// Jiffies per second. BTF does not tell, but the coarse clocks advance by
/// ticks, and `clock_getres(2)` gives the length of one.
pub fn ticks_per_second() -> u32 {
    let tick = clock_getres(ClockId::MonotonicCoarse);
    let ns = u64::try_from(tick.tv_nsec).unwrap_or(0).max(1);
    u32::try_from((1_000_000_000 + ns / 2) / ns).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_is_found_in_the_running_kernel() {
        let found = offsets().expect("a kernel with BTF");
        let (needed, hints) = found.split_at(FIRST_HINT);
        assert!(needed.iter().filter(|&&offset| offset == 0).count() < 4, "{found:?}");
        // The first one is where its structure begins. Without the others scans are slower, which nothing else would tell.
        assert!(hints[1..].iter().all(|&offset| offset != 0), "{found:?}");
    }

    #[test]
    fn the_tick_rate_is_one_that_kernels_have() {
        assert!(
            [24, 100, 128, 250, 256, 300, 1000, 1024, 1200].contains(&ticks_per_second()),
            "{}",
            ticks_per_second()
        );
    }
}
