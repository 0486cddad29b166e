//! The watch loop of `run` and of a foreground `attach`: the one thread that
//! owns what is attached.
//!
//! It sleeps until the next flow could change its status, until an order arrives, or for [`ROUND`]. Only locks block
//! it: orders come through a channel, and reports go into a [`Sink`] that never waits.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{
    runtime,
    sync::{mpsc::UnboundedReceiver, oneshot, watch},
    time::sleep_until,
};

use super::{
    Shared,
    health::ROUND,
    hints::Hints,
    member::Member,
    orders::Order,
    pacer::Pacer,
    plan::Plan,
    sink::Sink,
    source::{ConfigFile, FileState},
};
use crate::{bpf::AttachmentState, discovery::Known, error::Error, flow::Names};

/// A file that is being written, or an attachment in trouble, is looked at
/// again after this time.
const SOON: Duration = Duration::from_millis(100);
/// What failed is tried again after this time.
pub(super) const LATER: Duration = Duration::from_secs(2);

/// Subject of failures that concern no attachment.
pub(super) const LOOKING: &str = "checking cgroups";
/// The same, for pins that can't be restored.
pub(super) const PINS: &str = "pins";

/// The loop's own state.
#[derive(Debug)]
pub(crate) struct Watcher {
    /// The file that the plan is of, where there is one.
    pub(super) source: Option<ConfigFile>,
    pub(super) plan: Plan,
    /// By the cgroup's path: where cgroup v2 is mounted may change.
    pub(super) members: BTreeMap<PathBuf, Member>,
    pub(super) sink: Box<dyn Sink>,
    pub(super) names: Names,
    pub(super) shared: Arc<Shared>,
    /// What the cloud answered.
    pub(super) known: Known,
    /// How often it is to be asked.
    pub(super) wanted: watch::Sender<Option<Duration>>,
    pub(super) hints: Hints,
    pub(super) look_at: Instant,
    looks: Pacer,
    pub(super) replacements: Pacer,
    /// It is attached to nothing, and that was reported.
    pub(super) is_idle: bool,
    /// How the watch ends, once an attachment was lost whose loss ends it.
    pub(super) ending: Option<anyhow::Result<()>>,
}

impl Watcher {
    /// Attached to nothing yet. Also returns how often the cloud is to be asked.
    pub(super) fn new(
        source: Option<ConfigFile>,
        plan: Plan,
        sink: Box<dyn Sink>,
        shared: Arc<Shared>,
        hints: Hints,
    ) -> (Self, watch::Receiver<Option<Duration>>) {
        let (wanted, wishes) = watch::channel(plan.discovery);
        let watcher = Self {
            sink,
            names: Names::new(&plan.agent.pod_logs, &plan.agent.pod_cgroups),
            source,
            plan,
            members: BTreeMap::new(),
            shared,
            known: Known::default(),
            wanted,
            hints,
            look_at: Instant::now(),
            looks: Pacer::new(Instant::now()),
            replacements: Pacer::new(Instant::now()),
            is_idle: false,
            ending: None,
        };
        (watcher, wishes)
    }

    /// Attaches, reports that to `started`, watches until it is to stop, and releases its attachments.
    ///
    /// Errors where it can't attach at all. An error that ends the watch detaches as well, where the end does.
    pub(super) fn run(
        mut self,
        mut orders: UnboundedReceiver<Order>,
        started: oneshot::Sender<()>,
    ) -> anyhow::Result<()> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let _inside = runtime.enter();
        let watched = self.look(true).and_then(|()| {
            // The agent looks again and again: see `coverage.rs`.
            if self.source.is_none() {
                self.report_coverage();
            }
            // The receiver is gone where a signal came first.
            let _ = started.send(());
            runtime.block_on(self.watch(&mut orders))
        });
        let ended = self.end(watched.is_ok());
        ended.and(watched).and(self.ending.unwrap_or(Ok(())))
    }

    /// Looks and scans whenever something could have changed.
    async fn watch(&mut self, orders: &mut UnboundedReceiver<Order>) -> anyhow::Result<()> {
        while self.ending.is_none() {
            self.shared.health.beat();
            let is_full = self.sink.is_full();
            let due = pin!(sleep_until(self.due(is_full).into()));
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Stop) | None => return Ok(()),
                    Some(order) => self.obey(order),
                },
                () = due => {}
                () = self.sink.has_room(), if is_full => {}
                error = log(&mut self.members) => return Err(error).context("reading the BPF programs' log"),
            }
            if self.look_at <= Instant::now() {
                self.look(false)?;
            }
            self.scan()?;
        }
        Ok(())
    }

    /// When there is something to do, unless an order arrives sooner.
    fn due(&self, is_full: bool) -> Instant {
        let scans = self.members.values().map(|member| member.due).filter(|_| !is_full);
        scans.fold(self.look_at, Instant::min)
    }

    fn obey(&mut self, order: Order) {
        if order.is_abandoned() {
            return;
        }
        match order {
            Order::Look => self.look_at = self.look_at.min(self.looks.earliest(Instant::now())),
            Order::Scan => {
                self.members.values_mut().for_each(|member| member.due = Instant::now());
                self.shared.coverage_changed.notify_one();
            }
            Order::Reload => self.reload(),
            Order::Discovered(answers) => self.discovered(answers),
            Order::Observe(reply) => drop(reply.send(Arc::new(self.observe()))),
            Order::Flows(budget, reply) => drop(reply.send(self.flows(budget))),
            Order::Compare(snapshot, reply) => drop(reply.send(self.compare(*snapshot))),
            Order::Covered(found, later) => self.covered(&found, &later),
            Order::Stop => {}
        }
    }

    /// Scans what is due, where it is still attached.
    ///
    /// Errors end the watch.
    fn scan(&mut self) -> anyhow::Result<()> {
        if self.sink.is_full() {
            return Ok(());
        }
        let now = Instant::now();
        let due: Vec<_> =
            self.members.iter().filter(|(_, member)| member.due <= now).map(|(path, _)| path.clone()).collect();
        for path in due {
            let Some(mut member) = self.members.remove(&path) else { continue };
            let scanned = self.scan_one(&mut member);
            let name = member.name().to_owned();
            if scanned.is_err() {
                self.shared.metrics.figures().scan_failures += 1;
                member.put_off(LATER);
                self.look_at = self.look_at.min(now + SOON);
            }
            self.members.insert(path, member);
            self.outcome(&name, scanned)?;
        }
        Ok(())
    }

    fn scan_one(&mut self, member: &mut Member) -> anyhow::Result<()> {
        let is_active = match self.check(member) {
            Ok(state) => state.is_active(),
            // Another process attaches or detaches for long: scan in the meantime.
            Err(error) if Error::is_held(&error) => true,
            Err(error) => return Err(error),
        };
        if !is_active {
            // The next look drops it.
            self.look_at = Instant::now();
            member.put_off(SOON);
            return Ok(());
        }
        let start = Instant::now();
        let round = member.scan()?;
        self.shared.metrics.watched(round.totals.flows() + round.totals.closing, start.elapsed());
        if !round.changes.is_empty() {
            self.shared.metrics.figures().changed(&round.changes);
            self.sink.changed(&member.origin(), &round.changes);
        }
        Ok(())
    }

    /// The state of an attachment, pinned again where its pins were removed.
    pub(super) fn check(&mut self, member: &mut Member) -> anyhow::Result<AttachmentState> {
        let state = member.state()?;
        if state != AttachmentState::Unpinned {
            return Ok(state);
        }
        // They may be removed once more before the new ones are watched.
        self.look_at = Instant::now();
        match member.repin() {
            Ok(true) => self.sink.repinned(member.name()),
            // Another attachment has the name by now, or the programs are detached.
            Ok(false) => {}
            Err(error) => {
                self.look_at += LATER;
                self.sink.failed(PINS, &error.context(format!("pins of {} were removed from outside", member.name())));
                return Ok(state);
            }
        }
        self.sink.recovered(PINS);
        member.state()
    }

    /// Checks the file, the attachments and the cgroups.
    ///
    /// Errors end the watch.
    pub(super) fn look(&mut self, is_first: bool) -> anyhow::Result<()> {
        let start = Instant::now();
        self.look_at = start + ROUND;
        match self.source.as_mut().map(ConfigFile::look) {
            None | Some(FileState::Same) => {}
            Some(FileState::Changing) => self.look_at = Instant::now() + SOON,
            Some(FileState::Changed) => self.reload(),
        }
        let looked = self.attach(is_first);
        self.looks.done(start, Instant::now());
        if is_first { looked } else { self.outcome(LOOKING, looked) }
    }

    /// Records the result of a step.
    ///
    /// Errors where a failure ends the watch.
    pub(super) fn outcome(&mut self, about: &str, result: anyhow::Result<()>) -> anyhow::Result<()> {
        match result {
            Ok(()) => self.sink.recovered(about),
            // A lock may be free the next time.
            Err(error) if self.plan.survives_failures() || Error::is_held(&error) => self.sink.failed(about, &error),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Passes on the programs' own messages, where they were asked for. Ends only by
/// an error.
async fn log(members: &mut BTreeMap<PathBuf, Member>) -> std::io::Error {
    match members.values_mut().find(|member| member.has_log()) {
        Some(member) => member.pass_on_log().await,
        None => std::future::pending().await,
    }
}
