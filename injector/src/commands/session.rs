//! One watch over one attachment, from the first scan to the summary.

use std::{
    future::pending,
    io,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use injector_common::flow::FlowSample;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

use super::{
    adopt,
    discovery::{Discoverer, News},
};
use crate::{
    aws::answers::Answers,
    bpf::{BpfLog, Standing},
    cgroup::Cgroup,
    cli::Attach,
    exit,
    flow::{Names, Origin},
    held::{Held, Round},
    hop::Hop,
    notice::Notice,
    output::{self, Event, EventWriter, Summary},
    watch::{Change, Watch},
};

/// The signals that ask for an end. A hangup is one too: whoever closed the
/// terminal no longer watches.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes the signals over from their default, which would kill us.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
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
    writer: EventWriter,
    started: Instant,
}

impl Session {
    /// Begins now.
    pub(super) fn new(held: Held, discoverer: Option<Discoverer>, writer: EventWriter) -> Self {
        let origin = Origin::of(&held.attached);
        let (names, watch) = (Names::default(), Watch::default());
        Self { held, discoverer, origin, names, watch, writer, started: Instant::now() }
    }

    /// Watches until asked to end, then detaches unless `--keep`, and sums up.
    ///
    /// Errors that end the watch detach as well: half a watch is none.
    pub(super) async fn run(mut self, args: &Attach, mut signals: Signals) -> anyhow::Result<()> {
        let end = async {
            tokio::select! {
                () = signals.any() => {}
                () = after(args.run_for) => {}
            }
        };
        let existing = args.existing;
        let watched = tokio::select! {
            () = end => Ok(()),
            ended = self.watch(existing) => ended,
        };
        let standing = self.held.standing()?;
        match standing {
            Standing::AtWork | Standing::Unpinned => {}
            Standing::CgroupRemoved => self.message(format_args!("its cgroup was removed, ending")),
            Standing::Detached => self.message(format_args!("was detached by someone else, ending")),
            Standing::Replaced => self.message(format_args!("another one has its name, ending")),
        }
        if matches!(standing, Standing::Detached | Standing::Replaced) {
            return self.held.detach();
        }
        if watched.as_ref().is_err_and(exit::is_closed_pipe) {
            output::message(format_args!("injector: stdout was closed, ending"));
        }
        // Pins without a cgroup would only be in the way of the next one.
        let summary = self.end(args.keep && standing != Standing::CgroupRemoved)?;
        watched?;
        Ok(self.writer.write(&Event::Summary(summary))?)
    }

    /// Waits for the cloud's first answer, and leaves the programs at work with
    /// what it says.
    pub(super) async fn discover_once(mut self) -> anyhow::Result<()> {
        if self.discoverer.is_none() {
            return Ok(());
        }
        let answers = answer(&mut self.discoverer).await;
        self.take(answers)
    }

    /// Scans whenever a flow could have something to report. Ends only by an
    /// error, or when the programs are no longer ours to watch.
    async fn watch(&mut self, existing: bool) -> anyhow::Result<()> {
        self.writer.write(&Event::attached(&self.held.attached))?;
        if existing {
            adopt::existing(&mut self.held.attached, self.writer)?;
        }
        let mut notice = Notice::of(&self.held.attached);
        loop {
            match self.held.standing()? {
                Standing::AtWork => {}
                Standing::Unpinned => {
                    self.repin();
                    notice = Notice::of(&self.held.attached);
                }
                Standing::CgroupRemoved | Standing::Detached | Standing::Replaced => return Ok(()),
            }
            let until = Instant::now() + self.scan()?;
            if let Some(answers) = self.quiet(until, &mut notice).await? {
                self.take(answers)?;
                notice = Notice::of(&self.held.attached);
            }
        }
    }

    /// Sleeps, unless the attachment is touched or the cloud has answered.
    async fn quiet(&mut self, until: Instant, notice: &mut Notice) -> anyhow::Result<Option<Answers>> {
        loop {
            tokio::select! {
                () = sleep(until.saturating_duration_since(Instant::now())) => return Ok(None),
                () = notice.change() => if self.held.settled().await? != Standing::AtWork { return Ok(None) },
                answers = answer(&mut self.discoverer) => return Ok(Some(answers)),
                error = pass_on(&mut self.held.log) => return Err(error).context("reading the BPF programs' log"),
            }
        }
    }

    /// Puts what the cloud answered in force. Where that does not work, what is
    /// in force stays, and the next answer is another chance.
    fn take(&mut self, answers: Answers) -> anyhow::Result<()> {
        let Some(mut discoverer) = self.discoverer.take() else { return Ok(()) };
        let News { hops, changes, notes } = discoverer.news(answers);
        for note in notes {
            self.message(format_args!("{note}"));
        }
        if !changes.is_empty() {
            match self.put_in_force(&discoverer, &hops) {
                Ok(()) => {
                    let name = self.held.attached.name();
                    self.writer.write(&Event::discovered(name, &hops, &changes))?;
                    discoverer.in_force(hops);
                }
                Err(error) => self.message(format_args!("what was discovered is not in force: {error:#}")),
            }
        }
        self.discoverer = Some(discoverer);
        Ok(())
    }

    fn put_in_force(&mut self, discoverer: &Discoverer, hops: &[Hop]) -> anyhow::Result<()> {
        let rules = discoverer.rules(hops)?;
        let cgroup = Cgroup::open(Path::new(&self.held.attached.cgroup_path()))?;
        ensure!(self.held.replace(&cgroup, &rules)?, "it is not at work under its name");
        self.origin = Origin::of(&self.held.attached);
        Ok(())
    }

    /// Where that fails it is tried again at the next scan.
    fn repin(&mut self) {
        match self.held.repin() {
            Ok(true) => self.message(format_args!("its pins were removed from outside, pinned again")),
            // Another one has the name, or the programs are off.
            Ok(false) => {}
            Err(error) => self.message(format_args!("its pins were removed from outside: {error:#}")),
        }
    }

    fn message(&self, what: std::fmt::Arguments<'_>) {
        output::message(format_args!("injector: {}: {what}", self.held.attached.name()));
    }

    /// One scan. Returns how long nothing will happen.
    fn scan(&mut self) -> anyhow::Result<Duration> {
        let Round { changes, pause, .. } = self.held.scan(&mut self.watch)?;
        self.tell(&changes)?;
        Ok(pause)
    }

    fn tell(&mut self, changes: &[(Change, FlowSample)]) -> anyhow::Result<()> {
        self.names.refresh();
        for (change, sample) in changes {
            let flow = self.names.flow(&self.origin, sample, None);
            self.writer.write(&Event::change(*change, &flow))?;
        }
        Ok(())
    }

    /// Takes the last figures, then detaches, whether there are any or not.
    fn end(&mut self, keep: bool) -> anyhow::Result<Summary> {
        let figures = self.held.attached.counters().and_then(|counters| Ok((counters, self.held.attached.totals()?)));
        if !keep {
            self.held.detach()?;
        }
        let (counters, totals) = figures?;
        let watched_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Summary::new(watched_ms, keep, &counters, &totals))
    }
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
