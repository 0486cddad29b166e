//! Which attachment is meant.

use anyhow::Context as _;

use crate::{bpf::Attached, cgroup::Cgroup, cli::Target, exit::Error, pins::PinDir};

/// The attachments that `target` names: one, or all.
///
/// Errors with [`Error::NotAttached`] or [`Error::CgroupNotAttached`].
pub(super) fn attachments(target: &Target) -> anyhow::Result<Vec<Attached>> {
    if let Some(name) = &target.name {
        return Ok(vec![Attached::open(PinDir::named(name)?)?]);
    }
    let all = Attached::all()?;
    let Some(path) = &target.cgroup else { return Ok(all) };
    let cgroup = Cgroup::open(path).context("--cgroup")?;
    let found: Vec<_> = all.into_iter().filter(|one| one.description().cgroup_id == cgroup.id()).collect();
    if found.is_empty() {
        return Err(Error::CgroupNotAttached { cgroup: cgroup.path().display().to_string() }.into());
    }
    Ok(found)
}
