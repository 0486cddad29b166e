//! One watch over one attachment, from the first scan to the summary.

use std::{
    future::pending,
    io,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use injector_common::{
    flow::FlowSample,
    scan::{self, ScanControl},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

use super::{
    adopt,
    discovery::{Discoverer, News},
    place::{self, Place},
};
use crate::{
    aws::answers::Answers,
    bpf::{self, Attached, BpfLog, Standing},
    cli::Attach,
    exit,
    flow::Names,
    hop::Hop,
    notice::Notice,
    output::{self, Event, EventWriter, Summary},
    pins::{self, Lock},
    preflight,
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
    attached: Attached,
    /// Tells others that we watch.
    own: Option<Lock>,
    /// Asks for hops meanwhile.
    discoverer: Option<Discoverer>,
    /// The programs' own messages, where they were asked for.
    log: Option<BpfLog>,
    names: Names,
    watch: Watch,
    writer: EventWriter,
    started: Instant,
}

impl Session {
    /// Begins now.
    pub(super) fn new(place: Place, discoverer: Option<Discoverer>, writer: EventWriter) -> Self {
        let Place { attached, own, log } = place;
        let names = Names::of(&attached);
        Self { attached, own, discoverer, log, names, watch: Watch::default(), writer, started: Instant::now() }
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
        let standing = self.standing()?;
        match standing {
            Standing::AtWork | Standing::Unpinned => {}
            Standing::CgroupRemoved => self.message(format_args!("its cgroup was removed, ending")),
            Standing::Detached => self.message(format_args!("was detached by someone else, ending")),
            Standing::Replaced => self.message(format_args!("another one has its name, ending")),
        }
        if matches!(standing, Standing::Detached | Standing::Replaced) {
            return self.detach();
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
        self.writer.write(&Event::attached(&self.attached))?;
        if existing {
            adopt::existing(&mut self.attached, self.writer)?;
        }
        let mut notice = Notice::of(&self.attached);
        loop {
            match self.standing()? {
                Standing::AtWork => {}
                Standing::Unpinned => {
                    self.repin();
                    notice = Notice::of(&self.attached);
                }
                Standing::CgroupRemoved | Standing::Detached | Standing::Replaced => return Ok(()),
            }
            let until = Instant::now() + self.scan()?;
            if let Some(answers) = self.quiet(until, &mut notice).await? {
                self.take(answers)?;
                notice = Notice::of(&self.attached);
            }
        }
    }

    /// Sleeps, unless the attachment is touched or the cloud has answered.
    async fn quiet(&mut self, until: Instant, notice: &mut Notice) -> anyhow::Result<Option<Answers>> {
        loop {
            tokio::select! {
                () = sleep(until.saturating_duration_since(Instant::now())) => return Ok(None),
                () = notice.change() => if self.standing()? != Standing::AtWork { return Ok(None) },
                answers = answer(&mut self.discoverer) => return Ok(Some(answers)),
                error = pass_on(&mut self.log) => return Err(error).context("reading the BPF programs' log"),
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
                    let name = self.attached.name();
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
        let (attached, log) =
            place::change(&self.attached, &rules, self.log.is_some())?.context("it is not at work under its name")?;
        self.names = Names::of(&attached);
        self.attached = attached;
        self.log = log;
        Ok(())
    }

    /// Waits for others that are attaching or detaching, and never sees them
    /// half-way.
    fn standing(&self) -> anyhow::Result<Standing> {
        let _lock = pins::lock_for_listing()?;
        self.attached.standing()
    }

    /// The programs live on in our hands; others should find them again. Where
    /// that fails it is tried again at the next scan.
    fn repin(&mut self) {
        let repinned = preflight::ensure_bpffs().map_err(Into::into).and_then(|()| {
            let _lock = pins::lock_all()?;
            self.attached.repin()?;
            self.own = self.attached.pins().own()?;
            anyhow::Ok(())
        });
        match repinned {
            Ok(()) => self.message(format_args!("its pins were removed from outside, pinned again")),
            Err(error) => self.message(format_args!("its pins were removed from outside: {error:#}")),
        }
    }

    fn message(&self, what: std::fmt::Arguments<'_>) {
        output::message(format_args!("injector: {}: {what}", self.attached.name()));
    }

    /// One scan. Returns how long nothing will happen.
    fn scan(&mut self) -> anyhow::Result<Duration> {
        let mut changes: Vec<(Change, FlowSample)> = Vec::new();
        let watch = &mut self.watch;
        watch.begin();
        let request = ScanControl::request(scan::WATCH, 0, watch.room());
        let totals = self.attached.scan(request, |sample| {
            changes.extend(watch.observe(sample).map(|change| (change, *sample)));
        })?;
        changes.extend(watch.finish().into_iter().map(|sample| (Change::Closed, sample)));
        self.tell(&changes)?;
        Ok(self.watch.pause(self.attached.description().pace, &totals))
    }

    fn tell(&mut self, changes: &[(Change, FlowSample)]) -> anyhow::Result<()> {
        self.names.refresh();
        for (change, sample) in changes {
            let flow = self.names.flow(sample);
            self.writer.write(&Event::change(*change, &flow))?;
        }
        Ok(())
    }

    /// Takes the last figures, then detaches, whether there are any or not.
    fn end(&mut self, keep: bool) -> anyhow::Result<Summary> {
        let figures = self.attached.counters().and_then(|counters| Ok((counters, self.attached.totals()?)));
        if !keep {
            self.detach()?;
        }
        let (counters, totals) = figures?;
        let watched_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Summary::new(watched_ms, keep, &counters, &totals))
    }

    /// Looks once more under the lock: somebody may have put another one in
    /// its place.
    fn detach(&self) -> anyhow::Result<()> {
        preflight::ensure_bpffs()?;
        let _lock = pins::lock_all()?;
        if self.attached.has_its_pins() {
            bpf::detach(self.attached.pins())?;
        }
        self.attached.unhook()?;
        pins::tidy();
        Ok(())
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
