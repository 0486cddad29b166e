//! An attachment that this process watches.

pub(crate) mod acquire;
pub(crate) mod adopt;
mod census;
pub(crate) mod coverage;
pub(crate) mod proof;
pub(crate) mod watch;

use std::time::Duration;

use injector_common::{
    record::FlowSample,
    scan::{self, ScanControl, ScanTotals},
};

use crate::{
    attachment::watch::{FlowChange, Watch},
    bpf::{
        self, AttachPlan, Attached, AttachmentState, BpfLog,
        pins::{self, Lock, PinDir},
        preflight,
    },
    host::cgroup::Cgroup,
    rules::Rules,
};

/// An attachment, and the right to watch it.
#[derive(Debug)]
pub(crate) struct Held {
    /// The attachment.
    pub attached: Attached,
    /// Marks it as watched for other processes, where this one does.
    pub own: Option<Lock>,
    /// The programs' own messages, if requested.
    pub log: Option<BpfLog>,
}

/// The result of a scan.
#[derive(Debug)]
pub(crate) struct Round {
    /// Changes.
    pub changes: Vec<(FlowChange, FlowSample)>,
    /// Sums over all flows.
    pub totals: ScanTotals,
    /// How long no flow can change.
    pub pause: Duration,
}

/// Waits for others that are just attaching, detaching or listing: see [`pins::lock_all`]. Mounts bpffs again where it
/// was unmounted.
pub(crate) fn lock() -> anyhow::Result<Lock> {
    preflight::ensure_bpffs()?;
    pins::lock_all()
}

impl Held {
    /// Its state. Waits for processes that are attaching or detaching, and never sees them half-way.
    ///
    /// The kernel takes programs off a removed cgroup a moment after it is gone:
    /// a missing cgroup counts at once.
    pub(crate) fn state(&self) -> anyhow::Result<AttachmentState> {
        let _lock = pins::lock_for_listing()?;
        let state = self.attached.state()?;
        let is_removed = state.is_active() && !self.attached.has_its_cgroup()?;
        Ok(if is_removed { AttachmentState::CgroupRemoved } else { state })
    }

    /// Pins it again where its pins were removed: this process keeps the programs attached, and others should find
    /// them. Checks again under the lock: while it waited, another attachment may have taken the name. False where that
    /// was not needed.
    pub(crate) fn repin(&mut self, _lock: &Lock) -> anyhow::Result<bool> {
        if self.attached.state()? != AttachmentState::Unpinned {
            return Ok(false);
        }
        self.attached.repin()?;
        self.own = self.attached.pins().own()?;
        Ok(true)
    }

    /// One look, and what is new since the last one that `watch` saw.
    pub(crate) fn scan(&mut self, watch: &mut Watch) -> anyhow::Result<Round> {
        let mut changes = Vec::new();
        watch.begin();
        let mut totals = self.pass(watch, &mut changes)?;
        if watch.misses_any() {
            // Where others close meanwhile a scan passes over some: gone is what two don't come upon.
            totals = self.pass(watch, &mut changes)?;
        }
        changes.extend(watch.finish().into_iter().map(|sample| (FlowChange::Closed, sample)));
        let pause = watch.pause(self.attached.description().pace, &totals);
        Ok(Round { changes, totals, pause })
    }

    fn pass(&mut self, watch: &mut Watch, changes: &mut Vec<(FlowChange, FlowSample)>) -> anyhow::Result<ScanTotals> {
        let request = ScanControl::request(scan::WATCH, 0, watch.room());
        self.attached.scan(request, |sample| {
            changes.extend(watch.observe(sample).map(|change| (change, *sample)));
        })
    }

    /// Applies other rules. False where it is no longer attached under its name; errors leave the previous rules.
    pub(crate) fn replace(&mut self, _lock: &Lock, cgroup: &Cgroup, rules: &Rules) -> anyhow::Result<bool> {
        if self.attached.state()? != AttachmentState::Attached {
            return Ok(false);
        }
        let ((), without_guard) = acquire::guarded(rules, |rules| self.put(cgroup, rules))?;
        if let Some(note) = without_guard {
            tracing::warn!("{}: {note}", self.attached.name());
        }
        Ok(true)
    }

    fn put(&mut self, cgroup: &Cgroup, rules: &Rules) -> anyhow::Result<()> {
        if bpf::resume(&self.attached, rules)? {
            return Ok(());
        }
        let attachment = *self.attached.description();
        let log = self.log.is_some();
        self.log = bpf::replace(&self.attached, cgroup, &AttachPlan { rules, attachment: &attachment, log })?;
        self.attached = Attached::open(self.attached.pins().clone())?;
        Ok(())
    }

    /// Detaches it. Checks again under the lock: another attachment may have taken its place.
    pub(crate) fn detach(&mut self, _lock: &Lock) -> anyhow::Result<()> {
        if self.attached.has_its_pins() {
            detach_programs(&mut self.attached)?;
        }
        self.attached.unhook()?;
        pins::tidy();
        Ok(())
    }
}

/// Detaches the attachment in `pins`, even an incomplete one. The caller holds
/// [`pins::lock_all`].
pub(crate) fn detach(pins: &PinDir) -> anyhow::Result<()> {
    match Attached::open(pins.clone()) {
        Ok(mut attached) => detach_programs(&mut attached),
        // Its records can't be read.
        Err(_) => bpf::detach(pins),
    }
}

/// The programs go first: the guard would overrule the reset of listeners.
fn detach_programs(attached: &mut Attached) -> anyhow::Result<()> {
    let listeners = attached.listeners();
    bpf::detach(attached.pins())?;
    match listeners.and_then(|listeners| adopt::release(attached, listeners)) {
        Ok(released) => {
            if let Some(gap) = released.gap() {
                tracing::warn!("{}: {gap}", attached.name());
            }
        }
        Err(error) => {
            tracing::warn!("{}: adopted listeners, if any, keep their keepalive settings: {error:#}", attached.name());
        }
    }
    Ok(())
}
