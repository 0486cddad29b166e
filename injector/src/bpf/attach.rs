//! Attaching: load, pin, and only then put the programs on their hooks. What
//! is attached already is replaced without a moment in which nothing is.
//!
//! The process may be killed at any moment. What it leaves is the state before or the state after, and at most pins
//! that the next attach or detach of that name removes.

use std::{
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
};

use anyhow::Context as _;
use aya::Ebpf;
use injector_common::{attachment::Attachment, names};

use super::{
    attached::{Attached, open_links, unhook},
    generation::Generation,
    guard,
    hook::{self, Hook},
    link,
    log::BpfLog,
    maps, neighbours, object, reach, sys,
};
use crate::{bpf::pins::PinDir, host::cgroup::Cgroup, rules::Rules};

/// What to attach.
#[derive(Debug)]
pub(crate) struct AttachPlan<'a> {
    /// The rules.
    pub rules: &'a Rules,
    /// The description for later invocations.
    pub attachment: &'a Attachment,
    /// Whether to open the programs' own log.
    pub log: bool,
}

/// Attaches to `cgroup` and pins everything into `pins`. Links that are pinned
/// there, in any state, are detached once the new ones are attached. Returns
/// the stream of the programs' own messages, if requested.
///
/// The caller holds [`crate::bpf::pins::lock_all`]. Errors leave nothing attached and nothing pinned.
pub(crate) fn attach(pins: &PinDir, cgroup: &Cgroup, plan: &AttachPlan<'_>) -> anyhow::Result<Option<BpfLog>> {
    pins.check()?;
    reach::check(cgroup)?;
    let hooks = hook::wanted(plan.rules);
    neighbours::check(cgroup, &hooks, plan.rules)?;
    let mut loaded = Loaded::new(plan, hooks, None)?;
    let before = open_links(pins)?;
    pins.remove()?;
    let attached = loaded.pin_all(pins).and_then(|()| loaded.attach_all(pins, cgroup.as_fd()));
    if let Err(error) = attached {
        pins.remove()?;
        return Err(error);
    }
    before.iter().try_for_each(unhook)?;
    Ok(loaded.finish())
}

/// Keeps the present attachment, if it is complete and of this build with these rules. Returns whether it is.
///
/// The caller holds [`crate::bpf::pins::lock_all`].
pub(crate) fn resume(there: &Attached, rules: &Rules) -> anyhow::Result<bool> {
    let description = there.description();
    let is_same = description.build == object::BUILD && description.rules == rules.digest();
    // A process that was killed while it replaced them may have left others.
    let hooks = hook::wanted(rules);
    let expected = names::COMPANIONS.into_iter().zip(description.companion_program_ids);
    let expected = expected.filter(|(name, _)| hook::find(&hooks, name).is_some());
    if !is_same || !expected.eq(there.companion_program_ids()?) {
        return Ok(false);
    }
    there.pins().remove_other_generations(there.program_id()?)?;
    Ok(true)
}

/// Replaces the build, or the parameters, of an attachment. Flows and counters are kept.
///
/// The caller holds [`crate::bpf::pins::lock_all`]. Errors leave the previous one.
pub(crate) fn replace(there: &Attached, cgroup: &Cgroup, plan: &AttachPlan<'_>) -> anyhow::Result<Option<BpfLog>> {
    let pins = there.pins();
    let hooks = hook::wanted(plan.rules);
    let new: Vec<_> = hooks.iter().copied().filter(|hook| there.link(hook.program).is_none()).collect();
    neighbours::check(cgroup, &new, plan.rules)?;
    let mut loaded = Loaded::new(plan, hooks, Some(pins))?;
    if let Err(error) = loaded.take_over(there, cgroup.as_fd()) {
        take_back(there).with_context(|| format!("taking back what was replaced before this error: {error:#}"))?;
        return Err(error);
    }
    for (name, link) in there.companions() {
        if hook::find(&loaded.hooks, name).is_none() {
            std::fs::remove_file(link.path()).with_context(|| format!("removing {}", link.path().display()))?;
            unhook(link)?;
        }
    }
    pins.remove_other_generations(loaded.program_id)?;
    Ok(loaded.finish())
}

/// Removes what a replacement that failed has added: companions that were not there, and its generation.
fn take_back(there: &Attached) -> anyhow::Result<()> {
    let pins = there.pins();
    let added = names::COMPANIONS.into_iter().filter(|name| there.link(name).is_none());
    // Anything else existed before, and stays.
    for link in added.filter_map(|name| link::open(pins, name).ok()) {
        std::fs::remove_file(link.path()).with_context(|| format!("removing {}", link.path().display()))?;
        unhook(&link)?;
    }
    pins.remove_other_generations(there.program_id()?)
}

/// A loaded object whose programs are on no hook yet.
struct Loaded {
    ebpf: Ebpf,
    hooks: Vec<&'static Hook>,
    log: Option<BpfLog>,
    program_id: u32,
}

impl Loaded {
    /// With the lasting maps of `there`, or with new ones.
    fn new(plan: &AttachPlan<'_>, hooks: Vec<&'static Hook>, there: Option<&PinDir>) -> anyhow::Result<Self> {
        let mut ebpf = object::load(plan.log, plan.rules, &hooks, there)?;
        // Opened before anything is attached: it may fail.
        let log = if plan.log { BpfLog::open(&mut ebpf)? } else { None };
        let mut attachment = *plan.attachment;
        attachment.build = object::BUILD;
        attachment.rules = plan.rules.digest();
        attachment.pace = plan.rules.pace();
        attachment.tracks_packets = plan.rules.tracks_packets.into();
        attachment.lacks_guard = plan.rules.lacks_guard.into();
        attachment.companion_program_ids = companion_program_ids(&ebpf, &hooks)?;
        maps::fill(&mut ebpf, names::DECISIONS, &plan.rules.decisions)?;
        maps::fill(&mut ebpf, names::HOPS, &plan.rules.hops)?;
        maps::fill(&mut ebpf, names::ATTACHMENT, &[attachment])?;
        maps::fill_rules(&mut ebpf, &plan.rules.entries)?;
        maps::fill_cgroups(&mut ebpf, &plan.rules.cgroups)?;
        let program_id = hook::KEEPALIVE.program_id(&ebpf)?;
        Ok(Self { ebpf, hooks, log, program_id })
    }

    fn pin_all(&mut self, pins: &PinDir) -> anyhow::Result<()> {
        pins.create()?;
        for name in names::LASTING_MAPS {
            maps::pin(&self.ebpf, name, &pins.pin(name))?;
        }
        Generation::pin(&mut self.ebpf, pins, self.program_id)
    }

    /// From here on new sockets are treated. `keepalive` comes last, so that its
    /// pin still means that all is there.
    fn attach_all(&self, pins: &PinDir, cgroup: BorrowedFd<'_>) -> anyhow::Result<()> {
        self.hooks.iter().try_for_each(|hook| self.attach(pins, hook, cgroup))
    }

    fn attach(&self, pins: &PinDir, hook: &Hook, cgroup: BorrowedFd<'_>) -> anyhow::Result<()> {
        hook_program(hook.fd(&self.ebpf)?, cgroup, hook, &pins.pin(hook.program))
            .map_err(|error| guard::refused(hook.program, error))
    }

    /// Replaces all programs by its own.
    fn take_over(&mut self, there: &Attached, cgroup: BorrowedFd<'_>) -> anyhow::Result<()> {
        // The next attach removes it, should this one be killed.
        Generation::pin(&mut self.ebpf, there.pins(), self.program_id)?;
        self.hooks.iter().try_for_each(|hook| self.in_place(there, hook, cgroup))
    }

    /// Into the link that is there, or a new one.
    fn in_place(&self, there: &Attached, hook: &Hook, cgroup: BorrowedFd<'_>) -> anyhow::Result<()> {
        match there.link(hook.program) {
            Some(link) => sys::update_link(link.as_fd(), hook.fd(&self.ebpf)?)
                .with_context(|| format!("replacing the {} program", hook.program)),
            None => self.attach(there.pins(), hook, cgroup),
        }
    }

    fn finish(self) -> Option<BpfLog> {
        drop(self.ebpf);
        sys::release_memory();
        self.log
    }
}

/// Those of [`names::COMPANIONS`]; 0 for those that are not wanted.
fn companion_program_ids(ebpf: &Ebpf, hooks: &[&'static Hook]) -> anyhow::Result<[u32; names::COMPANIONS.len()]> {
    let mut ids = [0; names::COMPANIONS.len()];
    for (id, name) in ids.iter_mut().zip(names::COMPANIONS) {
        if let Some(hook) = hook::find(hooks, name) {
            *id = hook.program_id(ebpf)?;
        }
    }
    Ok(ids)
}

/// The pin keeps the link; our descriptor is closed.
fn hook_program(program: BorrowedFd<'_>, cgroup: BorrowedFd<'_>, hook: &Hook, pin: &Path) -> anyhow::Result<()> {
    let link = sys::link_cgroup(program, cgroup, hook.attach_type)
        .with_context(|| format!("attaching to the {} hook of the cgroup", hook.name()))?;
    sys::pin(link.as_fd(), pin).with_context(|| format!("pinning {}", pin.display()))
}
