//! Facts about the running kernel that the BPF programs need before they load. Read once per process.

use std::{fs, sync::OnceLock};

use anyhow::Context as _;
use aya_obj::btf::{BtfType, Func, FuncLinkage};
use injector_common::offsets::{COUNT, FIRST_HINT, MEMBERS};
use rustix::time::{ClockId, clock_getres};

use super::btf::{Btf, BtfError};
use crate::error::Error;

/// The kernel's BTF.
pub(crate) const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// The kernel's function that stands for iterators over a socket-storage map.
const ITERATOR: &str = "bpf_iter_bpf_sk_storage_map";

/// What is read from the kernel's BTF.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel {
    /// Offsets of all [`MEMBERS`].
    pub offsets: [u32; COUNT],
    /// Id of the function that the iterator's program is loaded for; `None` where the kernel has no such iterator.
    iterator: Option<u32>,
}

impl Kernel {
    /// That of the running kernel.
    ///
    /// Errors with [`Error::Unsupported`] where the kernel has no BTF or lacks a
    /// member that is more than a hint.
    pub(crate) fn running() -> anyhow::Result<&'static Self> {
        static RUNNING: OnceLock<Kernel> = OnceLock::new();
        if let Some(kernel) = RUNNING.get() {
            return Ok(kernel);
        }
        let data = fs::read(KERNEL_BTF).map_err(|error| Error::Unsupported {
            what: format!("its kernel has no BTF ({KERNEL_BTF}: {error})"),
            cure: "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions do since 2020".to_owned(),
        })?;
        let kernel = Self::find(&data).with_context(|| format!("reading {KERNEL_BTF}"))?;
        Ok(RUNNING.get_or_init(|| kernel))
    }

    fn find(data: &[u8]) -> Result<Self, BtfError> {
        let btf = Btf::parse(data)?;
        let mut offsets = [0; COUNT];
        for (index, (offset, member)) in offsets.iter_mut().zip(MEMBERS).enumerate() {
            *offset = match btf.offset_of(member.structure, member.path) {
                Err(BtfError::NoSuchMember { .. }) if index >= FIRST_HINT => 0,
                found => found?,
            };
        }
        Ok(Self { offsets, iterator: btf.function(ITERATOR) })
    }

    /// As much BTF as aya needs for loading the iterator, which is a name and its id. Parsing all of the kernel's costs
    /// aya 20 ms and tens of megabytes.
    pub(super) fn btf_of_iterator(&self) -> aya::Btf {
        let mut btf = aya::Btf::new();
        let name = btf.add_string(ITERATOR);
        if let Some(id) = self.iterator {
            // Ids are counted, and 0 is there already.
            for _ in 1..id {
                btf.add_type(BtfType::Unknown);
            }
            btf.add_type(BtfType::Func(Func::new(name, 0, FuncLinkage::Static)));
        }
        btf
    }
}

/// Jiffies per second. BTF does not have it, but the coarse clocks advance by ticks, and `clock_getres(2)` gives the
/// length of one.
pub(super) fn ticks_per_second() -> u32 {
    let tick = clock_getres(ClockId::MonotonicCoarse);
    let ns = u64::try_from(tick.tv_nsec).unwrap_or(0).max(1);
    u32::try_from((1_000_000_000 + ns / 2) / ns).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_is_found_in_the_running_kernel() {
        let found = Kernel::running().expect("a kernel with BTF").offsets;
        let (needed, hints) = found.split_at(FIRST_HINT);
        assert!(needed.iter().filter(|&&offset| offset == 0).count() < 4, "{found:?}");
        // The first one is where its structure begins. Without the others scans are slower, which no other test would
        // notice.
        assert!(hints[1..].iter().all(|&offset| offset != 0), "{found:?}");
    }

    #[test]
    fn aya_finds_the_iterator_under_the_kernels_id() {
        let kernel = Kernel::running().expect("a kernel with BTF");
        let found = kernel.btf_of_iterator().id_by_type_name_kind(ITERATOR, aya_obj::btf::BtfKind::Func);
        assert_eq!(found.ok(), Some(kernel.iterator.expect("a kernel with such iterators")));
        let without = Kernel { iterator: None, ..*kernel };
        assert!(without.btf_of_iterator().id_by_type_name_kind(ITERATOR, aya_obj::btf::BtfKind::Func).is_err());
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
