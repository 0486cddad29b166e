//! One cgroup that the agent is attached to.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use injector_common::{
    packets::PacketRecord,
    record::FlowSample,
    scan::{self, ScanControl, ScanTotals},
};

use super::journal::Journal;
use crate::{
    agent::metrics::{AtRisk, Metrics},
    attachment::{
        self, Held,
        acquire::{self, How},
        adopt::{self, Unless},
        watch::{Change, Watch},
    },
    bpf::{
        Standing,
        pins::{self, PinDir},
    },
    flow::Origin,
    host::cgroup::Cgroup,
    output::AttachmentStatus,
    rules::Rules,
};

/// Flows that one scan writes out for the server, at most.
pub(super) const MAX_FINDINGS: u32 = 20_000;

/// An attachment, and what is known of its flows.
#[derive(Debug)]
pub(super) struct Member {
    cgroup: Cgroup,
    held: Held,
    rules: Arc<Rules>,
    origin: Arc<Origin>,
    watch: Watch,
    /// When to scan next.
    pub(super) due: Instant,
    /// What the last scan for the server saw that did not fail.
    pub(super) seen: Seen,
}

/// What a scan saw.
#[derive(Debug)]
pub(super) struct Seen {
    /// When it ended; when it was attached to before the first one.
    pub(super) at: SystemTime,
    pub(super) totals: ScanTotals,
    pub(super) at_risk: AtRisk,
}

impl Member {
    /// Attaches to the cgroup, or takes over what an earlier agent left there.
    pub(super) fn take(directory: &Path, rules: &Arc<Rules>) -> anyhow::Result<(Self, Vec<String>)> {
        let cgroup = Cgroup::open(directory)?;
        let how = How { watch: true, log: false };
        let place = acquire::take(&pins::lock_all()?, &PinDir::for_cgroup(cgroup.path()), &cgroup, rules, how)?;
        let origin = Arc::new(Origin::of(&place.held.attached));
        let rules = Arc::clone(rules);
        let seen = Seen { at: SystemTime::now(), totals: ScanTotals::EMPTY, at_risk: AtRisk::default() };
        let (watch, due) = (Watch::default(), Instant::now());
        Ok((Self { cgroup, held: place.held, rules, origin, watch, due, seen }, place.notes))
    }

    /// Name of the attachment.
    pub(super) fn name(&self) -> &str {
        self.held.attached.name()
    }

    /// Path of the cgroup, relative to the mount.
    pub(super) fn path(&self) -> &Path {
        self.cgroup.path()
    }

    /// Directory of the pins.
    pub(super) fn pins(&self) -> std::path::PathBuf {
        self.held.attached.pins().path()
    }

    /// Takes over connections that were there before. What can't be had is no
    /// error, and told.
    pub(super) fn adopt(&mut self, unless: Unless) {
        let attached = &mut self.held.attached;
        match pins::lock_for_adopting().and_then(|lock| adopt::adopt(attached, unless, &lock)) {
            Ok(report) => {
                tracing::info!(attachment = self.name(), "adopted: {report}");
                if let Some(gap) = report.gap() {
                    tracing::warn!(attachment = self.name(), "{gap}");
                }
            }
            Err(error) => tracing::warn!(attachment = self.name(), "nothing adopted: {error:#}"),
        }
    }

    /// What became of it; pinned again where its pins were removed.
    pub(super) fn look(&mut self) -> anyhow::Result<Standing> {
        let standing = self.held.standing()?;
        if standing != Standing::Unpinned {
            return Ok(standing);
        }
        if self.held.repin(&attachment::lock()?)? {
            tracing::warn!(attachment = self.name(), "its pins were removed from outside, pinned again");
        }
        self.held.standing()
    }

    /// Tells what is new, and when to look again.
    pub(super) fn scan(&mut self, journal: &mut Journal, metrics: &Metrics) -> anyhow::Result<()> {
        let start = Instant::now();
        let round = self.held.scan(&mut self.watch)?;
        self.due = Instant::now() + round.pause;
        metrics.watched(round.totals.flows() + round.totals.closing, start.elapsed());
        if round.changes.is_empty() {
            return Ok(());
        }
        journal.changes(&self.origin, &round.changes);
        let mut figures = metrics.figures();
        for (change, _) in &round.changes {
            match change {
                Change::Overdue => figures.flows_expired += 1,
                Change::Closed => figures.flows_lost += 1,
                Change::AtRisk | Change::Stalled | Change::Recovered => {}
            }
        }
        Ok(())
    }

    /// All figures, and the flows that `request` asks for.
    pub(super) fn observe(
        &mut self,
        metrics: &Metrics,
        visit: impl FnMut(&FlowSample, Option<&PacketRecord>),
    ) -> anyhow::Result<(AttachmentStatus, ScanTotals)> {
        let totals = self.held.attached.scan_packets(ScanControl::request(scan::FINDINGS, 0, MAX_FINDINGS), visit)?;
        let counters = self.held.attached.counters()?;
        let standing = self.held.standing()?;
        let status = AttachmentStatus::attached(&self.held.attached, standing, &counters, &totals, None);
        metrics.figures().counted(self.name(), counters);
        Ok((status, totals))
    }

    /// Whose flows these are.
    pub(super) fn origin(&self) -> Arc<Origin> {
        Arc::clone(&self.origin)
    }

    /// All flows, as many as `budget`.
    pub(super) fn flows(
        &mut self,
        budget: u32,
        visit: impl FnMut(&FlowSample, Option<&PacketRecord>),
    ) -> anyhow::Result<ScanTotals> {
        self.held.attached.scan_packets(ScanControl::request(scan::ALL, 0, budget), visit)
    }

    /// Bytes of the maps.
    pub(super) fn map_memory(&self) -> u64 {
        self.held.attached.map_memory()
    }

    /// Puts other rules in force, from one connection to the next. Errors leave
    /// those that were.
    pub(super) fn replace(&mut self, rules: &Arc<Rules>) -> anyhow::Result<()> {
        // One that is off is let go at the next look.
        if !self.held.replace(&attachment::lock()?, &self.cgroup, rules)? {
            return Ok(());
        }
        self.rules = Arc::clone(rules);
        self.origin = Arc::new(Origin::of(&self.held.attached));
        // Limits may be shorter now.
        self.due = Instant::now();
        Ok(())
    }

    /// What is in force.
    pub(super) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules)
    }

    /// Gives cgroups their numbers.
    pub(super) fn number(&mut self, cgroups: &[(u64, u32)]) -> anyhow::Result<()> {
        self.held.attached.number(cgroups)
    }

    /// Takes the last figures, and the programs off.
    pub(super) fn detach(self, metrics: &Metrics) -> anyhow::Result<()> {
        self.forget(metrics);
        self.held.detach(&attachment::lock()?)
    }

    /// Takes the last figures.
    pub(super) fn forget(&self, metrics: &Metrics) {
        let counters = self.held.attached.counters();
        let mut figures = metrics.figures();
        if let Ok(counters) = counters {
            figures.counted(self.name(), counters);
        }
        figures.detached(self.name());
    }

    /// Looks again after `pause`.
    pub(super) fn put_off(&mut self, pause: Duration) {
        self.due = Instant::now() + pause;
    }
}
