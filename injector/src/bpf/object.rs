//! The BPF object, and loading its programs.

use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::Context as _;
use aya::{Ebpf, EbpfLoader, include_bytes_aligned, programs::Iter};
use aya_log::Level;
use injector_common::{decision::BY_CGROUP, names};

use super::{
    features::PACKETS,
    guard::GuardRefused,
    hook::Hook,
    kernel::{Kernel, ticks_per_second},
    pins::PinDir,
    refusal,
};
use crate::rules::Rules;

/// As built by `cargo xtask ebpf`; build.rs chooses which build.
static OBJECT: &[u8] = include_bytes_aligned!(env!("INJECTOR_BPF_OBJECT"));

/// The kernel's name for iterators over a socket-storage map.
const SCAN_TARGET: &str = "bpf_sk_storage_map";

/// The ring buffer of aya-log-ebpf, and the least it can be made.
const LOG_MAP: &str = "AYA_LOGS";
const LOG_MAP_BYTES: u32 = 4096;
/// Cgroups that can have a number. The table takes 16 bytes for each, used or
/// not.
const MAX_CGROUPS: usize = 16_384;

/// Identifies the build; build.rs takes it from the object's digest.
pub(super) const BUILD: u64 = match u64::from_str_radix(env!("INJECTOR_BPF_BUILD"), 16) {
    Ok(build) => build,
    Err(_) => panic!("build.rs gives a hexadecimal number"),
};

/// Creates the maps and loads the programs of `hooks` and the iterator, attaching none.
/// `log` switches the programs' own messages on; otherwise the verifier removes
/// them as dead. The lasting maps are those pinned in `there`, where it is given.
///
/// Errors with [`crate::error::Error::Privilege`] or
/// [`crate::error::Error::Unsupported`] where the kernel never will do it.
pub(super) fn load(log: bool, rules: &Rules, hooks: &[&Hook], there: Option<&PinDir>) -> anyhow::Result<Ebpf> {
    match try_load(log, rules, hooks, there, true) {
        // The guard may set options since 5.15, and read them since 6.1.
        Err(error) if error.is::<GuardRefused>() => try_load(log, rules, hooks, there, false),
        loaded => loaded,
    }
}

/// With or without a guard that fits times into user timeouts.
fn try_load(log: bool, rules: &Rules, hooks: &[&Hook], there: Option<&PinDir>, fits: bool) -> anyhow::Result<Ebpf> {
    let mut ebpf = create_maps(log, rules, there, fits)?;
    // `keepalive` first: without it there is no attachment.
    hooks.iter().rev().try_for_each(|hook| hook.load(&mut ebpf))?;
    let btf = Kernel::running()?.btf_of_iterator();
    let scans_packets = rules.tracks_packets.then_some(&PACKETS);
    scan(&mut ebpf)?.load(SCAN_TARGET, &btf).map_err(|error| refusal::of_program(names::SCAN, scans_packets, error))?;
    Ok(ebpf)
}

fn create_maps(log: bool, rules: &Rules, there: Option<&PinDir>, fits: bool) -> anyhow::Result<Ebpf> {
    let Kernel { offsets, .. } = Kernel::running()?;
    let ticks = ticks_per_second();
    let generation = generation(rules.digest());
    let tracks_packets = u32::from(rules.tracks_packets);
    let (guards, fits) = (u32::from(rules.overrules()), u32::from(fits));
    let log_level = if log { Level::Trace.into() } else { 0_u8 };
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
        .override_global(aya_log::LEVEL, &log_level, false);
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

/// Identifies the rules that made a record: from the digest of the rules. 0 stands for none.
pub(super) const fn generation(digest: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "both halves, folded")]
    let folded = (digest ^ digest >> 32) as u32;
    if folded == 0 { 1 } else { folded }
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
        anyhow::bail!("the map of flows is not socket storage");
    };
    let flows = flows.fd().as_fd().try_clone_to_owned().context("duplicating a descriptor")?;
    let program = scan(ebpf)?.fd()?.as_fd();
    super::sys::link_iter(program, flows.as_fd()).context("attaching the iterator to the map of flows")
}
