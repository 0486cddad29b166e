//! Which attachment is meant.

use anyhow::Context as _;

use crate::{
    bpf::{
        self, Attached, Opened,
        pins::{self, PinDir},
    },
    cli::AttachmentArgs,
    error::Error,
    host::cgroup::Cgroup,
};

/// Opens the attachments that `target` names: one, or all. An open attachment can be read even if its pins go, so the
/// lock is only held while opening.
///
/// Errors as [`attachments`] does.
pub(super) fn opened(target: &AttachmentArgs) -> anyhow::Result<Opened> {
    let _lock = pins::lock_for_listing()?;
    attachments(target).inspect(Opened::warn)
}

/// The same, for a caller that holds the lock.
///
/// Errors with [`Error::NotAttached`], [`Error::CgroupNotAttached`] or [`Error::CgroupRemoved`].
pub(super) fn attachments(target: &AttachmentArgs) -> anyhow::Result<Opened> {
    if let Some(name) = &target.name {
        return Ok(Opened { attached: vec![Attached::open(PinDir::named(name)?)?], skipped: vec![] });
    }
    let mut all = Attached::all()?;
    let Some(path) = &target.cgroup else { return Ok(all) };
    let cgroup = Cgroup::open(path).context("--cgroup")?;
    // Another cgroup had this path.
    let is_before = |one: &&Attached| one.cgroup_path() == cgroup.path() && one.description().cgroup_id != cgroup.id();
    let removed = all.attached.iter().find(is_before).map(Attached::cgroup_removed);
    all.attached.retain(|one| one.description().cgroup_id == cgroup.id());
    // Their cgroups are unknown.
    let unknown = all.skipped.extract_if(.., |(pins, _)| bpf::hooked_to(pins).is_none()).collect();
    Opened { attached: vec![], skipped: unknown }.warn();
    all.skipped.retain(|(pins, _)| bpf::hooked_to(pins) == Some(cgroup.id()));
    if all.attached.is_empty() && all.skipped.is_empty() {
        let cgroup = cgroup.path().display().to_string();
        return Err(removed.unwrap_or(Error::CgroupNotAttached { cgroup }).into());
    }
    Ok(all)
}
