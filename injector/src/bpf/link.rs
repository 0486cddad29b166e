//! The links that hold our programs on a cgroup's hooks.

use std::os::fd::AsFd as _;

use anyhow::Context as _;
use injector_common::names;

use super::{hook, pinned::Pinned, sys};
use crate::bpf::pins::{PinDir, is_there};

/// What `/proc/self/fdinfo` calls a link to a cgroup.
pub(super) const TO_CGROUP: &str = "cgroup";

/// Opens the pinned link of a program.
///
/// Errors with [`crate::error::Error::Refused`] where it is no link to that program's hook.
pub(super) fn open(pins: &PinDir, program: &str) -> anyhow::Result<Pinned> {
    let link = Pinned::link(pins.pin(program), TO_CGROUP)?;
    let info = info(&link)?;
    if hook::of(program).is_none_or(|hook| info.attach_type != hook.attach_type as u32) {
        return Err(link.refused("a link to another hook"));
    }
    if program == names::KEEPALIVE && is_foreign(pins, info.program_id)? {
        return Err(link.refused("the link of a program that isn't injector's"));
    }
    Ok(link)
}

/// Whether a link at `keepalive` is not ours. The pins of a program of ours are made before its link; a process may
/// have removed it since, but then there is no other in its place, and the lasting maps are there.
fn is_foreign(pins: &PinDir, program_id: u32) -> anyhow::Result<bool> {
    let is_ours = is_there(&pins.generation(program_id));
    Ok(!is_ours && (!pins.generations()?.is_empty() || !is_there(&pins.pin(names::FLOWS))))
}

/// Those of the programs' links that are pinned.
pub(super) fn companions(pins: &PinDir) -> anyhow::Result<Vec<(&'static str, Pinned)>> {
    let pinned = names::COMPANIONS.into_iter().filter(|name| is_there(&pins.pin(name)));
    pinned.map(|name| Ok((name, open(pins, name)?))).collect()
}

/// What a link to a cgroup holds.
pub(super) fn info(link: &Pinned) -> anyhow::Result<sys::CgroupLink> {
    sys::cgroup_link(link.as_fd()).with_context(|| format!("reading {}", link.path().display()))
}
