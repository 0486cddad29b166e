//! Brings attachments in line with the plan.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, ensure};

use super::{
    ask::DISCOVERED,
    member::Member,
    plan::OnLoss,
    watcher::{LATER, LOOKING, PINS, Watcher},
};
use crate::{
    attachment::adopt::AdoptDefault,
    bpf::AttachmentState,
    config::OnExit,
    error::Error,
    host::{
        cgroup::{self, Cgroup},
        descriptors,
    },
};

impl Watcher {
    /// Attaches and detaches as the plan asks.
    ///
    /// Errors where this host does not support it, and `is_first`.
    pub(super) fn attach(&mut self, is_first: bool) -> anyhow::Result<()> {
        let mount = cgroup::mount_point()?;
        let expansion = self.plan.targets.expand(&mount);
        let mut watched = expansion.parents;
        self.drop_unwanted(|path| expansion.found.contains(path))?;
        if self.ending.is_some() {
            return Ok(());
        }
        self.survey(&expansion.found, &mut watched)?;
        let mut lacks: Vec<_> = expansion.missing.iter().map(|path| format!("{path}: no such cgroup yet")).collect();
        lacks.extend(self.take_all(&expansion.found, &mount, is_first)?);
        lacks.extend(self.unproved());
        self.report_whether_idle(&mut lacks);
        self.sink.keep_failures(&|about| {
            [LOOKING, DISCOVERED, PINS].contains(&about)
                || expansion.found.contains(Path::new(about))
                || self.members.values().any(|member| member.name() == about)
        });
        self.watch_directories(&watched);
        self.shared.metrics.figures().attached_cgroups = self.members.len() as u64;
        self.shared.health.looked(lacks);
        ensure!(
            !is_first || self.plan.on_loss == OnLoss::Restore || !self.members.is_empty(),
            "the cgroup {} was removed meanwhile",
            self.plan.targets.describe()
        );
        Ok(())
    }

    /// Attachments that were taken over and don't work.
    fn unproved(&mut self) -> Vec<String> {
        let why =
            |(path, member): (&PathBuf, &mut Member)| Some(format!("{}: {}", path.display(), member.prove_again()?));
        self.members.iter_mut().filter_map(why).collect()
    }

    /// Attaches to those of `found` that nothing is attached to yet. Returns
    /// what failed.
    fn take_all(&mut self, found: &BTreeSet<PathBuf>, mount: &Path, is_first: bool) -> anyhow::Result<Vec<String>> {
        let mut failed = Vec::new();
        for path in found {
            if self.members.contains_key(path) {
                continue;
            }
            self.shared.health.beat();
            let directory = cgroup::below(mount, path);
            let Err(error) = self.take(path, &directory) else { continue };
            if !is_first && !directory.exists() {
                // Removed meanwhile.
                continue;
            }
            if is_first && (is_hopeless(&error) || self.plan.on_loss != OnLoss::Restore) {
                return Err(error);
            }
            self.sink.failed(&path.to_string_lossy(), &error);
            failed.push(format!("{}: {error:#}", path.display()));
            self.look_at = self.look_at.min(Instant::now() + LATER);
        }
        Ok(failed)
    }

    fn take(&mut self, path: &Path, directory: &Path) -> anyhow::Result<()> {
        descriptors::check()?;
        let cgroup = Cgroup::open(directory)?;
        let (pins, purpose) = self.plan.targets.place(&cgroup);
        let (mut member, notes) = Member::take(cgroup, &pins, &self.plan.rules, purpose)?;
        self.sink.recovered(&path.to_string_lossy());
        self.sink.attached(member.attached(), &notes);
        member.number(&self.plan.rules.cgroups)?;
        self.members.insert(path.to_owned(), member);
        self.shared.coverage_changed.notify_one();
        // Changes before it was watched are seen by another look.
        self.look_at = Instant::now();
        self.adopt(path)
    }

    /// Adopts connections that were open before, as the plan asks.
    fn adopt(&mut self, path: &Path) -> anyhow::Result<()> {
        let by_default = match (self.plan.agent.adopt, self.plan.asks_to_adopt()) {
            (true, _) => AdoptDefault::All,
            (false, true) => AdoptDefault::None,
            (false, false) => return Ok(()),
        };
        let Some(member) = self.members.get_mut(path) else { return Ok(()) };
        let adopted = member.adopt(by_default, &|| self.shared.health.beat()).context("nothing adopted");
        let name = member.name().to_owned();
        let reported = adopted.map(|report| self.sink.adopted(&name, &report));
        self.outcome(&name, reported)
    }

    /// Drops attachments that the plan no longer has, or that are no longer attached.
    fn drop_unwanted(&mut self, is_wanted: impl Fn(&Path) -> bool) -> anyhow::Result<()> {
        for path in self.members.keys().cloned().collect::<Vec<_>>() {
            let Some(mut member) = self.members.remove(&path) else { continue };
            let name = member.name().to_owned();
            match self.check(&mut member) {
                Ok(state) if state.is_active() && is_wanted(&path) => drop(self.members.insert(path, member)),
                Ok(state) => {
                    let left = self.leave(member, state);
                    self.outcome(&name, left)?;
                }
                // Keep it open: dropping it could detach the programs.
                Err(error) => {
                    self.members.insert(path, member);
                    self.look_at = self.look_at.min(Instant::now() + LATER);
                    self.outcome(&name, Err(error))?;
                }
            }
        }
        Ok(())
    }

    /// Drops what is in this state, and reports why.
    fn leave(&mut self, mut member: Member, state: AttachmentState) -> anyhow::Result<()> {
        if state.is_active() {
            self.sink.unwanted(member.name());
        } else {
            self.sink.lost(member.name(), state);
            self.ending = self.plan.on_loss.ends(state).then(|| lost(&member, state));
        }
        self.sink.leaving(member.attached_mut(), state);
        member.detach()
    }

    /// Shutdown: attachments stay or are detached, as the plan asks.
    ///
    /// Errors where something that was to be detached is not.
    pub(super) fn end(&mut self, is_sound: bool) -> anyhow::Result<()> {
        let count = self.members.len();
        for member in std::mem::take(&mut self.members).into_values() {
            let name = member.name().to_owned();
            let ended = self.end_one(member).with_context(|| format!("ending {name}"));
            self.outcome(&name, ended)?;
        }
        if is_sound { self.sink.ended(count, self.plan.on_exit()) } else { Ok(()) }
    }

    fn end_one(&mut self, mut member: Member) -> anyhow::Result<()> {
        // The next agent sees it for itself.
        let is_last = self.plan.on_loss != OnLoss::Restore;
        let state = if is_last { member.state()? } else { AttachmentState::Attached };
        if !state.is_active() {
            return self.leave(member, state);
        }
        self.sink.leaving(member.attached_mut(), state);
        match self.plan.on_exit() {
            OnExit::Keep => Ok(()),
            OnExit::Detach => member.detach(),
        }
    }

    /// Watches the directories of attachments for changes.
    fn watch_directories(&mut self, directories: &BTreeSet<PathBuf>) {
        self.hints.entries(directories);
        for pins in self.members.values().flat_map(Member::pins) {
            self.hints.pins(&pins);
        }
        if let Some(source) = &self.source {
            self.hints.file(source.path());
        }
    }

    /// A glob that matches nothing is fine, but an agent that protects nothing
    /// at all has the wrong ones, most likely.
    fn report_whether_idle(&mut self, lacks: &mut Vec<String>) {
        // What else is wrong has been reported.
        let is_idle = self.members.is_empty() && lacks.is_empty();
        let was_idle = std::mem::replace(&mut self.is_idle, is_idle);
        if !is_idle {
            return;
        }
        let lack = format!("attached to nothing: no cgroup matches {}", self.plan.targets.describe());
        if !was_idle {
            tracing::warn!("{lack}");
        }
        lacks.push(lack);
    }
}

/// How a watch ends whose attachment was lost. A detach or a replacement was requested; the removal of a cgroup was
/// not, so it is an error.
fn lost(member: &Member, state: AttachmentState) -> anyhow::Result<()> {
    match state {
        AttachmentState::CgroupRemoved => Err(member.attached().cgroup_removed().into()),
        _ => Ok(()),
    }
}

/// Retrying does not help: the host lacks something.
fn is_hopeless(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<Error>(), Some(Error::Privilege { .. } | Error::Unsupported { .. }))
}
