//! The BPF object, and getting its programs past the verifier.

use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::Context as _;
use aya::{
    Btf, Ebpf, EbpfLoader, include_bytes_aligned,
    programs::{Iter, SockOps},
};
use injector_common::{decision::BY_CGROUP, names};

use super::{
    companion,
    guard::{self, GuardRefused},
    offsets::{offsets, ticks_per_second},
    refusal,
};
use crate::{
    bpf::{features::PACKETS, pins::PinDir},
    rules::Rules,
};

/// As built by `cargo xtask ebpf`; build.rs chooses which build.
static OBJECT: &[u8] = include_bytes_aligned!(env!("INJECTOR_BPF_OBJECT"));

/// The kernel's name for iterators over a socket-storage map.
const SCAN_TARGET: &str = "bpf_sk_storage_map";

/// The ring buffer of aya-log-ebpf, the global that says up to which level it is
/// written to, and the least it can be made.
pub(super) const LOG_MAP: &str = "AYA_LOGS";
const LOG_LEVEL: &str = "AYA_LOG_LEVEL";
const LOG_MAP_BYTES: u32 = 4096;
/// Cgroups that can have a number. The table takes 16 bytes for each, used or
/// not.
const MAX_CGROUPS: usize = 16_384;
/// `aya_log_common::Level::Trace`.
const LOG_EVERYTHING: u8 = 5;

/// Tells builds apart; build.rs takes it from the object's digest.
pub(super) const BUILD: u64 = match u64::from_str_radix(env!("INJECTOR_BPF_BUILD"), 16) {
    Ok(build) => build,
    Err(_) => panic!("build.rs gives a hexadecimal number"),
};

/// Creates the maps and loads the programs that `rules` ask for, attaching none.
/// `log` switches the programs' own messages on; otherwise the verifier removes
/// them as dead. The lasting maps are those pinned in `there`, where it is given.
///
/// Errors with [`crate::error::Error::Privilege`] or
/// [`crate::error::Error::Unsupported`] where the kernel never will do it.
pub(super) fn load(log: bool, rules: &Rules, there: Option<&PinDir>) -> anyhow::Result<Ebpf> {
    match try_load(log, rules, there, true) {
        // The guard may set options since 5.15, and read them since 6.1.
        Err(error) if error.is::<GuardRefused>() => try_load(log, rules, there, false),
        loaded => loaded,
    }
}

/// With or without a guard that fits times into user timeouts.
fn try_load(log: bool, rules: &Rules, there: Option<&PinDir>, fits: bool) -> anyhow::Result<Ebpf> {
    let mut ebpf = create_maps(log, rules, there, fits)?;
    keepalive(&mut ebpf)?.load().map_err(|error| refusal::of_program(names::KEEPALIVE, None, error))?;
    let btf = Btf::from_sys_fs().context("reading the kernel's BTF")?;
    let scans_packets = rules.tracks_packets.then_some(&PACKETS);
    scan(&mut ebpf)?.load(SCAN_TARGET, &btf).map_err(|error| refusal::of_program(names::SCAN, scans_packets, error))?;
    for (name, _) in companion::wanted(rules) {
        companion::load(&mut ebpf, name)?.map_err(|error| guard::not_loaded(name, error))?;
    }
    Ok(ebpf)
}

fn create_maps(log: bool, rules: &Rules, there: Option<&PinDir>, fits: bool) -> anyhow::Result<Ebpf> {
    let offsets = offsets()?;
    let ticks = ticks_per_second();
    let log_level = if log { LOG_EVERYTHING } else { 0 };
    let generation = generation(rules.digest());
    let tracks_packets = u32::from(rules.tracks_packets);
    let (guards, fits) = (u32::from(rules.overrules()), u32::from(fits));
    let mut loader = EbpfLoader::new();
    loader
        // For relocations, of which Rust has none: memory for nothing.
        .btf(None)
        .override_global(names::OFFSETS, &offsets[..], true)
        .override_global(names::TICKS_PER_SECOND, &ticks, true)
        .override_global(names::GENERATION, &generation, true)
        .override_global(names::LOOKUPS, &rules.lookups, true)
        .override_global(names::GUARDS, &guards, true)
        .override_global(names::FITS, &fits, true)
        .override_global(names::TRACKS_PACKETS, &tracks_packets, true)
        .override_global(LOG_LEVEL, &log_level, false);
    for (name, length) in [
        (names::DECISIONS, rules.decisions.len()),
        (names::RULES, rules.entries.len()),
        (names::HOPS, rules.hops.len()),
        (names::CGROUPS, if rules.lookups & BY_CGROUP != 0 { MAX_CGROUPS } else { 1 }),
    ] {
        // The kernel makes no empty maps.
        loader.map_max_entries(name, u32::try_from(length).context("too many rules")?.max(1));
    }
    if !log {
        loader.map_max_entries(LOG_MAP, LOG_MAP_BYTES);
    }
    if let Some(there) = there {
        for name in names::LASTING_MAPS {
            loader.map_pin_path(name, there.pin(name));
        }
    }
    loader.load(OBJECT).map_err(|error| refusal::of("creating the maps", None, error.into()))
}

/// Records that were made by other rules are told by it: from the digest of the rules. 0 stands for none.
pub(super) const fn generation(digest: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "both halves, folded")]
    let folded = (digest ^ digest >> 32) as u32;
    if folded == 0 { 1 } else { folded }
}

/// The `sock_ops` program.
pub(super) fn keepalive(ebpf: &mut Ebpf) -> anyhow::Result<&mut SockOps> {
    let program = ebpf.program_mut(names::KEEPALIVE).context("the BPF object lacks its keepalive program")?;
    Ok(program.try_into()?)
}

/// The iterator.
pub(super) fn scan(ebpf: &mut Ebpf) -> anyhow::Result<&mut Iter> {
    let program = ebpf.program_mut(names::SCAN).context("the BPF object lacks its scan program")?;
    Ok(program.try_into()?)
}

/// Links the iterator to the map of flows.
pub(super) fn link_scan(ebpf: &mut Ebpf) -> anyhow::Result<OwnedFd> {
    let flows = ebpf.map(names::FLOWS).context("the BPF object lacks its map of flows")?;
    let aya::maps::Map::SkStorage(flows) = flows else {
        anyhow::bail!("the map of flows is no socket storage");
    };
    let flows = flows.fd().as_fd().try_clone_to_owned().context("duplicating a descriptor")?;
    let program = scan(ebpf)?.fd()?.as_fd();
    super::sys::link_iter(program, flows.as_fd()).context("attaching the iterator to the map of flows")
}
