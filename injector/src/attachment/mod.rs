//! An attachment in the hands of the process that watches it.

pub mod acquire;
pub mod adopt;
mod census;
pub mod coverage;
pub mod proof;
pub mod watch;

use std::time::Duration;

use injector_common::{
    record::FlowSample,
    scan::{self, ScanControl, ScanTotals},
};

use crate::{
    attachment::watch::{Change, Watch},
    bpf::{
        self, Attached, AttachmentState, BpfLog, Plan,
        pins::{self, Lock, PinDir},
        preflight,
    },
    host::cgroup::Cgroup,
    rules::Rules,
};

/// An attachment, and the right to watch it.
#[derive(Debug)]
pub struct Held {
    /// What is at work.
    pub attached: Attached,
    /// Tells others that a process watches it, where one does.
    pub own: Option<Lock>,
    /// The programs' own messages, where they were asked for.
    pub log: Option<BpfLog>,
}

/// What a scan brought.
#[derive(Debug)]
pub struct Round {
    /// What is new.
    pub changes: Vec<(Change, FlowSample)>,
    /// Sums over all flows.
    pub totals: ScanTotals,
    /// How long nothing will happen.
    pub pause: Duration,
}

/// Waits for others that are just attaching, detaching or listing: see [`pins::lock_all`]. Mounts bpffs where somebody took
/// it away.
pub fn lock() -> anyhow::Result<Lock> {
    preflight::ensure_bpffs()?;
    pins::lock_all()
}

impl Held {
    /// What became of it. Waits for others that are attaching or detaching, and
    /// never sees them half-way.
    ///
    /// The kernel takes programs off a removed cgroup a moment after it is gone:
    /// a missing cgroup counts at once.
    pub fn state(&self) -> anyhow::Result<AttachmentState> {
        let _lock = pins::lock_for_listing()?;
        let state = self.attached.state()?;
        let is_removed = state.is_active() && !self.attached.has_its_cgroup()?;
        Ok(if is_removed { AttachmentState::CgroupRemoved } else { state })
    }

    /// Pins it again where its pins were removed: the programs live on in our
    /// hands, and others should find them. Looks once more under the lock: while
    /// we waited, another one may have taken the name. False where nothing was
    /// to be done.
    pub fn repin(&mut self, _lock: &Lock) -> anyhow::Result<bool> {
        if self.attached.state()? != AttachmentState::Unpinned {
            return Ok(false);
        }
        self.attached.repin()?;
        self.own = self.attached.pins().own()?;
        Ok(true)
    }

    /// One look, and what is new since the last one that `watch` saw.
    pub fn scan(&mut self, watch: &mut Watch) -> anyhow::Result<Round> {
        let mut changes = Vec::new();
        watch.begin();
        let mut totals = self.pass(watch, &mut changes)?;
        if watch.misses_any() {
            // Where others close meanwhile a scan passes over some: gone is what two don't come upon.
            totals = self.pass(watch, &mut changes)?;
        }
        changes.extend(watch.finish().into_iter().map(|sample| (Change::Closed, sample)));
        let pause = watch.pause(self.attached.description().pace, &totals);
        Ok(Round { changes, totals, pause })
    }

    fn pass(&mut self, watch: &mut Watch, changes: &mut Vec<(Change, FlowSample)>) -> anyhow::Result<ScanTotals> {
        let request = ScanControl::request(scan::WATCH, 0, watch.room());
        self.attached.scan(request, |sample| {
            changes.extend(watch.observe(sample).map(|change| (change, *sample)));
        })
    }

    /// Puts other rules in force. False where it is no longer at work under its
    /// name; errors leave the rules that were.
    pub fn replace(&mut self, _lock: &Lock, cgroup: &Cgroup, rules: &Rules) -> anyhow::Result<bool> {
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
        self.log = bpf::replace(&self.attached, cgroup, &Plan { rules, attachment: &attachment, log })?;
        self.attached = Attached::open(self.attached.pins().clone())?;
        Ok(())
    }

    /// Takes it off. Looks once more under the lock: somebody may have put
    /// another one in its place.
    pub fn detach(&mut self, _lock: &Lock) -> anyhow::Result<()> {
        if self.attached.has_its_pins() {
            take_off(&mut self.attached)?;
        }
        self.attached.unhook()?;
        pins::tidy();
        Ok(())
    }
}

/// Takes the attachment in `pins` off, whatever is left of it. The caller holds
/// [`pins::lock_all`].
pub fn detach(pins: &PinDir) -> anyhow::Result<()> {
    match Attached::open(pins.clone()) {
        Ok(mut attached) => take_off(&mut attached),
        // Its records can't be read.
        Err(_) => bpf::detach(pins),
    }
}

/// The programs go first: the guard would not let go of the listeners.
fn take_off(attached: &mut Attached) -> anyhow::Result<()> {
    let listeners = attached.listeners();
    bpf::detach(attached.pins())?;
    match listeners.and_then(|listeners| adopt::release(attached, listeners)) {
        Ok(released) => {
            if let Some(gap) = released.gap() {
                tracing::warn!("{}: {gap}", attached.name());
            }
        }
        Err(error) => {
            tracing::warn!("{}: adopted listeners, if any, go on giving keepalive: {error:#}", attached.name());
        }
    }
    Ok(())
}
