//! One watch over one attachment, from the first scan to the summary.

use std::{
    future::pending,
    io,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, ensure};
use injector_common::record::FlowSample;
use tokio::{
    signal::unix::SignalKind,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::{
    adopt,
    ask::{Discoverer, News},
};
use crate::{
    attachment::{
        self, Held, Round,
        inotify::{self, Notice},
        watch::{Change, Watch},
    },
    bpf::{BpfLog, Standing, pins},
    cli::Attach,
    discovery::aws::answers::Answers,
    error,
    flow::{Names, Origin},
    hop::Hop,
    host::{
        cgroup::{self, Cgroup},
        signals::Signal,
    },
    output::{self, Event, Outlet, Summary},
};

/// How long the end waits for others that are attaching, detaching or listing.
const DETACH_WITHIN: Duration = Duration::from_secs(20);
/// How long it then waits for who reads stdout.
const READ_WITHIN: Duration = Duration::from_secs(2);

/// How often, and how many times, to look whether the programs are off a removed
/// cgroup. There is nothing to wait for.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
const MAX_LOOKS: u32 = 250;

/// The signals that ask for an end. A hangup is one too: whoever closed the
/// terminal no longer watches.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes the signals over from their default, which would kill us. Those that
    /// are ignored stay so.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: Signal::unless_ignored(SignalKind::interrupt())?,
            terminate: Signal::unless_ignored(SignalKind::terminate())?,
            hangup: Signal::unless_ignored(SignalKind::hangup())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

/// A watch.
#[derive(Debug)]
pub(super) struct Session {
    held: Held,
    /// Asks for hops meanwhile.
    discoverer: Option<Discoverer>,
    origin: Origin,
    names: Names,
    watch: Watch,
    outlet: Outlet,
    started: Instant,
}

impl Session {
    /// Begins now.
    pub(super) fn new(held: Held, discoverer: Option<Discoverer>, outlet: Outlet) -> Self {
        let origin = Origin::of(&held.attached);
        let (names, watch) = (Names::default(), Watch::default());
        Self { held, discoverer, origin, names, watch, outlet, started: Instant::now() }
    }

    /// Watches until asked to end, then detaches unless `--keep`, and sums up.
    ///
    /// Errors that end the watch detach as well: half a watch is none.
    pub(super) async fn run(mut self, args: &Attach, mut signals: Signals) -> anyhow::Result<()> {
        let watched = tokio::select! {
            () = signals.any() => Ok(()),
            () = after(args.run_for) => Ok(()),
            ended = self.watch(args.existing) => ended,
        };
        if watched.as_ref().is_err_and(error::is_closed_pipe) {
            output::message(format_args!("injector: stdout was closed, ending"));
        }
        let name = self.held.attached.name().to_owned();
        let ended = timeout(DETACH_WITHIN, self.end(args.keep)).await.unwrap_or_else(|_| {
            let why = "another process that attaches, detaches or lists does not end";
            Err(anyhow!("{name} is left at work, as {why}: `injector detach --name {name}` takes it off"))
        });
        let (summary, error) = match (ended, watched) {
            (Ok(summary), Ok(())) => (summary, None),
            (Err(error), _) | (Ok(_), Err(error)) => (None, Some(error)),
        };
        let told = timeout(READ_WITHIN, self.sum_up(summary))
            .await
            .unwrap_or_else(|_| Err(anyhow!("stdout is full and nobody reads it: what was to be said last is lost")));
        error.map_or(told, Err)
    }

    /// Says what is at work, adopts and asks the cloud as told, and leaves the
    /// programs at work. That nobody listens is told at the end.
    pub(super) async fn leave(mut self, existing: bool) -> anyhow::Result<()> {
        let mut done = self.begin(existing).await;
        if done.is_ok() && self.discoverer.is_some() {
            let answers = answer(&mut self.discoverer).await;
            done = self.take(answers).await;
        }
        let told = self.outlet.close().await;
        done?;
        Ok(told?)
    }

    async fn begin(&mut self, existing: bool) -> anyhow::Result<()> {
        self.outlet.write(&Event::attached(&self.held.attached)).await?;
        if existing {
            let lock = unblocked(pins::lock_for_adopting).await?;
            let report = adopt::existing(&mut self.held.attached, &lock)?;
            self.outlet.write(&Event::Adopted { name: self.held.attached.name(), report: &report }).await?;
        }
        Ok(())
    }

    /// Scans whenever a flow could have something to report. Ends only by an
    /// error, or when the programs are no longer ours to watch.
    async fn watch(&mut self, existing: bool) -> anyhow::Result<()> {
        self.begin(existing).await?;
        let mut notice = Notice::of(&self.held.attached);
        loop {
            match self.standing().await? {
                Standing::AtWork => {}
                Standing::Unpinned => {
                    let is_settled = self.repin().await;
                    notice = Notice::of(&self.held.attached);
                    if is_settled {
                        continue;
                    }
                }
                Standing::CgroupRemoved | Standing::Detached | Standing::Replaced => return Ok(()),
            }
            let until = Instant::now() + self.scan().await?;
            if let Some(answers) = self.quiet(until, &mut notice).await? {
                self.take(answers).await?;
                notice = Notice::of(&self.held.attached);
            }
        }
    }

    /// Sleeps, unless the attachment is touched or the cloud has answered.
    async fn quiet(&mut self, until: Instant, notice: &mut Notice) -> anyhow::Result<Option<Answers>> {
        loop {
            tokio::select! {
                () = sleep(until.saturating_duration_since(Instant::now())) => return Ok(None),
                change = notice.change() => {
                    if change == inotify::Change::Flows || self.settled().await? != Standing::AtWork {
                        return Ok(None);
                    }
                }
                answers = answer(&mut self.discoverer) => return Ok(Some(answers)),
                error = pass_on(&mut self.held.log) => return Err(error).context("reading the BPF programs' log"),
                error = self.outlet.failed() => return Err(error.into()),
            }
        }
    }

    /// What became of the attachment.
    async fn standing(&self) -> anyhow::Result<Standing> {
        let _lock = unblocked(pins::lock_for_listing).await?;
        self.held.attached.standing()
    }

    /// As [`Self::standing`], for a cgroup that may be on its way out: the kernel
    /// takes programs off a removed one a moment after it is gone.
    async fn settled(&self) -> anyhow::Result<Standing> {
        let description = self.held.attached.description();
        for _ in 0..MAX_LOOKS {
            let standing = self.standing().await?;
            if standing != Standing::AtWork || cgroup::exists(description.path(), description.cgroup_id) {
                return Ok(standing);
            }
            sleep(BETWEEN_LOOKS).await;
        }
        self.standing().await
    }

    /// Puts what the cloud answered in force. Where that does not work, what is
    /// in force stays, and the next answer is another chance.
    async fn take(&mut self, answers: Answers) -> anyhow::Result<()> {
        let Some(mut discoverer) = self.discoverer.take() else { return Ok(()) };
        let News { hops, changes, notes } = discoverer.news(answers);
        for note in notes {
            self.message(format_args!("{note}"));
        }
        if !changes.is_empty() {
            match self.put_in_force(&discoverer, &hops).await {
                Ok(()) => {
                    let name = self.held.attached.name();
                    self.outlet.write(&Event::discovered(name, &hops, &changes)).await?;
                    discoverer.in_force(hops);
                }
                Err(error) => self.message(format_args!("what was discovered is not in force: {error:#}")),
            }
        }
        self.discoverer = Some(discoverer);
        Ok(())
    }

    async fn put_in_force(&mut self, discoverer: &Discoverer, hops: &[Hop]) -> anyhow::Result<()> {
        let rules = discoverer.rules(hops)?;
        let cgroup = Cgroup::open(&self.held.attached.cgroup_path())?;
        let lock = unblocked(attachment::lock).await?;
        ensure!(self.held.replace(&lock, &cgroup, &rules)?, "it is not at work under its name");
        self.origin = Origin::of(&self.held.attached);
        Ok(())
    }

    /// Where that fails it is tried again at the next scan, and false.
    async fn repin(&mut self) -> bool {
        let repinned = unblocked(attachment::lock).await.and_then(|lock| self.held.repin(&lock));
        match &repinned {
            Ok(true) => self.message(format_args!("its pins were removed from outside, pinned again")),
            // Another one has the name by now, or the programs are off.
            Ok(false) => {}
            Err(error) => self.message(format_args!("its pins were removed from outside: {error:#}")),
        }
        repinned.is_ok()
    }

    fn message(&self, what: std::fmt::Arguments<'_>) {
        output::message(format_args!("injector: {}: {what}", self.held.attached.name()));
    }

    /// One scan. Returns how long nothing will happen.
    async fn scan(&mut self) -> anyhow::Result<Duration> {
        let Round { changes, pause, .. } = self.held.scan(&mut self.watch)?;
        self.tell(&changes).await?;
        Ok(pause)
    }

    async fn tell(&mut self, changes: &[(Change, FlowSample)]) -> anyhow::Result<()> {
        self.names.refresh();
        for (change, sample) in changes {
            let flow = self.names.flow(&self.origin, sample, None);
            self.outlet.write(&Event::change(*change, &flow)).await?;
        }
        Ok(())
    }

    /// Takes the last figures, then detaches, whether there are any or not. `None` where it is somebody else's by now.
    async fn end(&mut self, keep: bool) -> anyhow::Result<Option<Summary>> {
        let standing = self.standing().await?;
        match standing {
            Standing::AtWork | Standing::Unpinned => {}
            Standing::CgroupRemoved => self.message(format_args!("its cgroup was removed, ending")),
            Standing::Detached => self.message(format_args!("was detached by someone else, ending")),
            Standing::Replaced => self.message(format_args!("another one has its name, ending")),
        }
        if matches!(standing, Standing::Detached | Standing::Replaced) {
            self.held.detach(&unblocked(attachment::lock).await?)?;
            return Ok(None);
        }
        let figures = self.held.attached.counters().and_then(|counters| Ok((counters, self.held.attached.totals()?)));
        // Pins without a cgroup would only be in the way of the next one.
        let keep = keep && standing != Standing::CgroupRemoved;
        if !keep {
            self.held.detach(&unblocked(attachment::lock).await?)?;
        }
        let (counters, totals) = figures?;
        let watched_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Some(Summary::new(watched_ms, keep, &counters, &totals)))
    }

    /// Says the last word, and waits until all is written.
    async fn sum_up(self, summary: Option<Summary>) -> anyhow::Result<()> {
        if let Some(summary) = summary {
            self.outlet.write(&Event::Summary(summary)).await?;
        }
        Ok(self.outlet.close().await?)
    }
}

/// Waits for a lock on a thread of its own, so that signals are heard meanwhile. Who stops waiting lets go of the lock.
async fn unblocked<L: Send + 'static>(lock: fn() -> anyhow::Result<L>) -> anyhow::Result<L> {
    spawn_blocking(lock).await?
}

async fn after(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => pending().await,
    }
}

async fn answer(discoverer: &mut Option<Discoverer>) -> Answers {
    match discoverer {
        Some(discoverer) => discoverer.answer().await,
        None => pending().await,
    }
}

/// Ends only by an error.
async fn pass_on(log: &mut Option<BpfLog>) -> io::Error {
    let Some(log) = log else { return pending().await };
    loop {
        if let Err(error) = log.pass_on().await {
            return error;
        }
    }
}
