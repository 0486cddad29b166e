//! Attaching: load, pin, and only then put the program on its hook.

use std::{
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
};

use anyhow::Context as _;
use aya::Ebpf;
use injector_common::{attachment::Attachment, conflict::RESPECT, keepalive::Policy, names};

use super::{log::BpfLog, maps, object, sys};
use crate::{cgroup::Cgroup, pins::PinDir};

/// Attaches to `cgroup` and pins everything into `pins`. With `log`, returns
/// the stream of the programs' own messages.
///
/// The caller holds [`crate::pins::lock_all`]. Errors leave nothing attached
/// and nothing pinned; so does a kill at any moment, but for pins that the
/// next attach or detach of that name removes.
pub fn attach(
    pins: &PinDir,
    cgroup: &Cgroup,
    policy: &Policy,
    attachment: &Attachment,
    log: bool,
) -> anyhow::Result<Option<BpfLog>> {
    let mut ebpf = object::load(log)?;
    // Opened before anything is attached: it may fail.
    let log = if log { BpfLog::open(&mut ebpf)? } else { None };
    // What a killed process left behind.
    pins.remove()?;
    pins.create()?;
    let attached =
        fill_and_pin(&mut ebpf, pins, policy, attachment).and_then(|()| hook(&mut ebpf, pins, policy, cgroup.as_fd()));
    if let Err(error) = attached {
        pins.remove()?;
        return Err(error);
    }
    drop(ebpf);
    sys::release_memory();
    Ok(log)
}

fn fill_and_pin(ebpf: &mut Ebpf, pins: &PinDir, policy: &Policy, attachment: &Attachment) -> anyhow::Result<()> {
    maps::set(ebpf, names::POLICY, policy)?;
    maps::set(ebpf, names::ATTACHMENT, attachment)?;
    for name in names::PINNED_MAPS {
        let map = ebpf.map(name).with_context(|| format!("the BPF object lacks the map {name}"))?;
        map.pin(pins.pin(name)).with_context(|| format!("pinning the map {name}"))?;
    }
    let scan = object::link_scan(ebpf)?;
    sys::pin(scan.as_fd(), &pins.pin(names::SCAN)).context("pinning the iterator")
}

/// From here on new sockets are treated. The guard comes first, so that the
/// pin of `keepalive` still means that all is there.
fn hook(ebpf: &mut Ebpf, pins: &PinDir, policy: &Policy, cgroup: BorrowedFd<'_>) -> anyhow::Result<()> {
    if policy.conflict != RESPECT {
        let guard = object::guard(ebpf)?.fd()?.as_fd();
        link(guard, cgroup, sys::BPF_CGROUP_SETSOCKOPT, &pins.pin(names::GUARD))?;
    }
    let keepalive = object::keepalive(ebpf)?.fd()?.as_fd();
    link(keepalive, cgroup, sys::BPF_CGROUP_SOCK_OPS, &pins.pin(names::KEEPALIVE))
}

/// The pin keeps the link; our descriptor is closed.
fn link(program: BorrowedFd<'_>, cgroup: BorrowedFd<'_>, hook: u32, pin: &Path) -> anyhow::Result<()> {
    let link = sys::link_cgroup(program, cgroup, hook)
        .context("attaching to the cgroup (another program there may forbid company)")?;
    sys::pin(link.as_fd(), pin).with_context(|| format!("pinning {}", pin.display()))
}
