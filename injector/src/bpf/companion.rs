//! The programs beside `keepalive` that not every attachment has
//! ([`names::COMPANIONS`]): who asks for them, and where they hook. One that
//! nobody asks for is not loaded, so a kernel that refuses it loses no more than
//! its feature.

use anyhow::Context as _;
use aya::{
    Ebpf,
    programs::{CgroupSkb, CgroupSockopt, ProgramError, ProgramFd},
};
use injector_common::names;

use super::sys;
use crate::{
    bpf::features::{CONFLICTS, Feature, PACKETS},
    rules::Rules,
};

/// Those that are asked for, with their hooks.
pub(super) fn wanted(rules: &Rules) -> impl Iterator<Item = (&'static str, u32)> {
    let overrules = rules.overrules();
    let tracks = rules.tracks_packets;
    let all = [
        (names::GUARD, sys::BPF_CGROUP_SETSOCKOPT, overrules),
        (names::INGRESS, sys::BPF_CGROUP_INET_INGRESS, tracks),
        (names::EGRESS, sys::BPF_CGROUP_INET_EGRESS, tracks),
    ];
    all.into_iter().filter(|(.., is_wanted)| *is_wanted).map(|(name, hook, _)| (name, hook))
}

/// Whose they are.
pub(super) fn feature(name: &str) -> &'static Feature {
    if name == names::GUARD { &CONFLICTS } else { &PACKETS }
}

/// Has the verifier look at one.
pub(super) fn load(ebpf: &mut Ebpf, name: &str) -> anyhow::Result<Result<(), ProgramError>> {
    Ok(match name {
        names::GUARD => guard(ebpf)?.load(),
        _ => packets(ebpf, name)?.load(),
    })
}

/// One that is loaded.
pub(super) fn fd<'a>(ebpf: &'a mut Ebpf, name: &str) -> anyhow::Result<&'a ProgramFd> {
    Ok(match name {
        names::GUARD => guard(ebpf)?.fd()?,
        _ => packets(ebpf, name)?.fd()?,
    })
}

/// The kernel's ids of all; 0 for those that are not loaded.
pub(super) fn ids(ebpf: &mut Ebpf, rules: &Rules) -> anyhow::Result<[u32; names::COMPANIONS.len()]> {
    let mut ids = [0; names::COMPANIONS.len()];
    for (id, name) in ids.iter_mut().zip(names::COMPANIONS) {
        if wanted(rules).all(|(wanted, _)| wanted != name) {
            continue;
        }
        let info = match name {
            names::GUARD => guard(ebpf)?.info(),
            _ => packets(ebpf, name)?.info(),
        };
        *id = info.with_context(|| format!("reading the {name} program"))?.id();
    }
    Ok(ids)
}

/// One of the `cgroup_skb` programs.
fn packets<'a>(ebpf: &'a mut Ebpf, name: &str) -> anyhow::Result<&'a mut CgroupSkb> {
    let program = ebpf.program_mut(name).with_context(|| format!("the BPF object lacks its {name} program"))?;
    Ok(program.try_into()?)
}

/// The `setsockopt` program.
fn guard(ebpf: &mut Ebpf) -> anyhow::Result<&mut CgroupSockopt> {
    let program = ebpf.program_mut(names::GUARD).context("the BPF object lacks its guard program")?;
    Ok(program.try_into()?)
}
