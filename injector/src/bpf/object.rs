//! The BPF object, and getting its programs past the verifier.

use std::os::fd::AsFd as _;

use anyhow::Context as _;
use aya::{
    Btf, Ebpf, EbpfError, EbpfLoader, include_bytes_aligned,
    programs::{Iter, ProgramError, SockOps},
};
use injector_common::names;

use super::offsets::{offsets, ticks_per_second};
use crate::exit::Error;

/// As built by `cargo xtask ebpf`; build.rs chooses which build.
static OBJECT: &[u8] = include_bytes_aligned!(env!("INJECTOR_BPF_OBJECT"));

/// The kernel's name for iterators over a socket-storage map.
const SCAN_TARGET: &str = "bpf_sk_storage_map";

/// The ring buffer of aya-log, and the least it can be made.
const LOG_MAP: &str = "AYA_LOGS";
const LOG_MAP_BYTES: u32 = 4096;
/// `aya_log_common::Level::Trace`.
const LOG_EVERYTHING: u8 = 5;

/// Creates the maps and loads all programs, attaching none. `log` switches the
/// programs' own messages on; otherwise the verifier removes them as dead.
///
/// Errors with [`Error::Privilege`] or [`Error::Unsupported`] where the kernel
/// refuses.
pub(super) fn load(log: bool) -> anyhow::Result<Ebpf> {
    let offsets = offsets()?;
    let ticks = ticks_per_second();
    let log_level = if log { LOG_EVERYTHING } else { 0 };
    let mut loader = EbpfLoader::new();
    loader
        .override_global(names::OFFSETS, &offsets[..], true)
        .override_global(names::TICKS_PER_SECOND, &ticks, true)
        .override_global(aya_log::LEVEL, &log_level, false);
    if !log {
        loader.map_max_entries(LOG_MAP, LOG_MAP_BYTES);
    }
    let mut ebpf = loader.load(OBJECT).map_err(refused_maps)?;
    keepalive(&mut ebpf)?.load().map_err(|error| refused(names::KEEPALIVE, error))?;
    let btf = Btf::from_sys_fs().context("reading the kernel's BTF")?;
    scan(&mut ebpf)?.load(SCAN_TARGET, &btf).map_err(|error| refused(names::SCAN, error))?;
    Ok(ebpf)
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
pub(super) fn link_scan(ebpf: &mut Ebpf) -> anyhow::Result<std::os::fd::OwnedFd> {
    let flows = ebpf.map(names::FLOWS).context("the BPF object lacks its map of flows")?;
    let aya::maps::Map::SkStorage(flows) = flows else {
        anyhow::bail!("the map of flows is no socket storage");
    };
    let flows = flows.fd().as_fd().try_clone_to_owned().context("duplicating a descriptor")?;
    let program = scan(ebpf)?.fd()?.as_fd();
    super::sys::link_iter(program, flows.as_fd()).context("attaching the iterator to the map of flows")
}

fn refused_maps(error: EbpfError) -> anyhow::Error {
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    classify("creating the maps", error.into(), &source)
}

/// The verifier's log is long; its end says why.
fn refused(program: &str, error: ProgramError) -> anyhow::Error {
    if let ProgramError::LoadError { io_error, verifier_log } = &error {
        tracing::debug!("verifier log of {program}:\n{verifier_log}");
        let cause = io_error.to_string();
        let log = verifier_log.to_string();
        let last = log.lines().rev().find(|line| !line.starts_with("processed") && !line.trim().is_empty());
        let shown = anyhow::anyhow!("{cause} (verifier: {})", last.unwrap_or("no log"));
        return classify(&format!("loading the program {program}"), shown, &cause);
    }
    let text = error.to_string();
    classify(&format!("loading the program {program}"), error.into(), &text)
}

fn classify(what: &str, error: anyhow::Error, cause: &str) -> anyhow::Error {
    let is_privilege = cause.contains("os error 1)") || cause.contains("os error 13)");
    let kind = if is_privilege {
        Error::Privilege {
            what: format!("the kernel denied {what}"),
            cure: "run injector as root outside user namespaces; seccomp, lockdown or an LSM may deny bpf(2) too"
                .to_owned(),
        }
    } else {
        Error::Unsupported {
            what: format!("the kernel refused {what}"),
            cure: "`injector doctor` tells what is missing; 5.10 is the oldest kernel that works".to_owned(),
        }
    };
    error.context(kind)
}
