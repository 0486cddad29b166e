//! One attachment of a watch loop.

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use injector_common::{
    packets::PacketRecord,
    record::FlowSample,
    scan::{self, ScanControl, ScanTotals},
};

use crate::{
    agent::metrics::{AtRisk, Metrics},
    attachment::{
        self, Held, Round,
        acquire::{self, Acquired, Purpose},
        adopt::{self, AdoptDefault, Report},
        coverage::Coverage,
        proof,
        watch::Watch,
    },
    bpf::{
        Attached, AttachmentState,
        pins::{self, PinDir},
    },
    error::Error,
    flow::Origin,
    host::cgroup::Cgroup,
    output::AttachmentStatus,
    rules::Rules,
};

/// Flows that one scan writes out for the server, at most.
pub(super) const MAX_FINDINGS: u32 = 20_000;

/// An attachment, and the state of its flows.
#[derive(Debug)]
pub(super) struct Member {
    cgroup: Cgroup,
    held: Held,
    rules: Arc<Rules>,
    origin: Arc<Origin>,
    watch: Watch,
    /// Why its self-test failed, where it existed before and so was left.
    failed: Option<String>,
    /// When to scan next.
    pub(super) due: Instant,
    /// What the last successful scan for the server saw.
    pub(super) seen: Scanned,
    /// What the last look for connections without a record found.
    pub(super) coverage: Option<Coverage>,
}

/// What a scan saw.
#[derive(Debug)]
pub(super) struct Scanned {
    /// When it ended; the time of the attachment before the first one.
    pub(super) at: SystemTime,
    pub(super) totals: ScanTotals,
    pub(super) at_risk: AtRisk,
}

impl Member {
    /// Attaches to `cgroup`, or takes over what an earlier process left there. Also returns notes on what was there.
    pub(super) fn take(
        cgroup: Cgroup,
        pins: &PinDir,
        rules: &Arc<Rules>,
        purpose: Purpose,
    ) -> anyhow::Result<(Self, Vec<String>)> {
        let Acquired { held, notes, failed } = acquire::take(&pins::lock_all()?, pins, &cgroup, rules, purpose)?;
        let origin = Arc::new(Origin::of(&held.attached));
        let rules = Arc::clone(rules);
        let seen = Scanned { at: SystemTime::now(), totals: ScanTotals::EMPTY, at_risk: AtRisk::default() };
        let (watch, due) = (Watch::default(), Instant::now());
        Ok((Self { cgroup, held, rules, origin, watch, failed, due, seen, coverage: None }, notes))
    }

    /// Why its self-test failed; tried once more where it did.
    pub(super) fn prove_again(&mut self) -> Option<&str> {
        if self.failed.is_some() {
            let proof = proof::prove(&self.held.attached, &self.cgroup);
            self.failed = proof.has_failed().then(|| proof.to_string());
        }
        self.failed.as_deref()
    }

    /// Name of the attachment.
    pub(super) fn name(&self) -> &str {
        self.held.attached.name()
    }

    /// What is attached.
    pub(super) const fn attached(&self) -> &Attached {
        &self.held.attached
    }

    /// The same, to be read by scans.
    pub(super) const fn attached_mut(&mut self) -> &mut Attached {
        &mut self.held.attached
    }

    /// Directories of the pins.
    pub(super) fn pins(&self) -> [PathBuf; 2] {
        [self.held.attached.pins().path(), self.held.attached.generation_path().to_owned()]
    }

    /// Adopts connections that were open before. `progress` is called meanwhile.
    pub(super) fn adopt(&mut self, by_default: AdoptDefault, progress: &dyn Fn()) -> anyhow::Result<Report> {
        adopt::adopt(&mut self.held.attached, by_default, &pins::lock_for_adopting()?, progress)
    }

    /// Its state.
    pub(super) fn state(&self) -> anyhow::Result<AttachmentState> {
        self.held.state()
    }

    /// Pins it again where its pins were removed. False where that was no longer needed.
    pub(super) fn repin(&mut self) -> anyhow::Result<bool> {
        self.held.repin(&attachment::lock()?)
    }

    /// Finds what is new, and when to scan again.
    pub(super) fn scan(&mut self) -> anyhow::Result<Round> {
        let round = self.held.scan(&mut self.watch)?;
        self.put_off(round.pause);
        Ok(round)
    }

    /// All figures, and the flows at risk, overdue or stalled.
    pub(super) fn observe(
        &mut self,
        metrics: &Metrics,
        visit: impl FnMut(&FlowSample, Option<&PacketRecord>),
    ) -> anyhow::Result<(AttachmentStatus, ScanTotals)> {
        let totals = self.held.attached.scan_packets(ScanControl::request(scan::FINDINGS, 0, MAX_FINDINGS), visit)?;
        let counters = self.held.attached.counters()?;
        let state = match self.held.state() {
            // Other processes may change pins meanwhile, but not what is scanned.
            Err(error) if Error::is_held(&error) => AttachmentState::Attached,
            state => state?,
        };
        // Flows are counted at this moment.
        let coverage = self.coverage.as_ref().map(|coverage| coverage.at(&totals));
        let status = AttachmentStatus::attached(&self.held.attached, state, &counters, &totals, coverage);
        metrics.figures().counted(self.name(), counters);
        Ok((status, totals))
    }

    /// Names for the numbers of its flows.
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

    /// Kernel memory of its maps, in bytes.
    pub(super) fn map_memory(&self) -> u64 {
        self.held.attached.map_memory()
    }

    /// Applies other rules. Errors leave the previous ones.
    pub(super) fn replace(&mut self, rules: &Arc<Rules>) -> anyhow::Result<()> {
        // One that is off its hook is dropped at the next look.
        if !self.held.replace(&attachment::lock()?, &self.cgroup, rules)? {
            return Ok(());
        }
        self.rules = Arc::clone(rules);
        self.origin = Arc::new(Origin::of(&self.held.attached));
        // Limits may be shorter now.
        self.due = Instant::now();
        Ok(())
    }

    /// The rules that are applied.
    pub(super) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules)
    }

    /// Assigns numbers to cgroups.
    pub(super) fn number(&mut self, cgroups: &[(u64, u32)]) -> anyhow::Result<()> {
        self.held.attached.number(cgroups)
    }

    /// Detaches the programs.
    pub(super) fn detach(mut self) -> anyhow::Result<()> {
        self.held.detach(&attachment::lock()?)
    }

    /// Scans again after `pause`.
    pub(super) fn put_off(&mut self, pause: Duration) {
        self.due = Instant::now() + pause;
    }

    /// Whether the programs' own messages were asked for.
    pub(super) const fn has_log(&self) -> bool {
        self.held.log.is_some()
    }

    /// Passes on the programs' own messages. Ends only by an error.
    pub(super) async fn pass_on_log(&mut self) -> io::Error {
        let Some(log) = &mut self.held.log else { return std::future::pending().await };
        loop {
            if let Err(error) = log.pass_on().await {
                return error;
            }
        }
    }
}
