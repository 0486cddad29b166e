//! One watch over one attachment, from the first scan to the summary.

use std::{
    future::pending,
    io,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use injector_common::flow::FlowSample;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

use super::adopt;
use crate::{
    bpf::{BpfLog, Standing},
    cli::Attach,
    exit,
    flow::{Names, Origin},
    held::{Held, Round},
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
    origin: Origin,
    names: Names,
    watch: Watch,
    writer: EventWriter,
    started: Instant,
}

impl Session {
    /// Begins now.
    pub(super) fn new(held: Held, writer: EventWriter) -> Self {
        let origin = Origin::of(&held.attached);
        Self { held, origin, names: Names::default(), watch: Watch::default(), writer, started: Instant::now() }
    }

    /// Watches until asked to end, then detaches unless `--keep`, and sums up.
    ///
    /// Errors that end the watch detach as well: half a watch is none.
    pub(super) async fn run(mut self, args: &Attach, mut signals: Signals, log: Option<BpfLog>) -> anyhow::Result<()> {
        let end = async {
            tokio::select! {
                () = signals.any() => {}
                () = after(args.run_for) => {}
            }
        };
        let existing = args.existing;
        let watched = tokio::select! {
            () = end => Ok(()),
            error = pass_on(log) => Err(error).context("reading the BPF programs' log"),
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
            self.quiet(until, &mut notice).await?;
        }
    }

    /// Sleeps, unless the attachment is touched.
    async fn quiet(&self, until: Instant, notice: &mut Notice) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                () = sleep(until.saturating_duration_since(Instant::now())) => return Ok(()),
                () = notice.change() => if self.held.settled().await? != Standing::AtWork { return Ok(()) },
            }
        }
    }

    /// Where that fails it is tried again at the next scan.
    fn repin(&mut self) {
        match self.held.repin() {
            Ok(()) => self.message(format_args!("its pins were removed from outside, pinned again")),
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

/// Ends only by an error.
async fn pass_on(log: Option<BpfLog>) -> io::Error {
    let Some(mut log) = log else { return pending().await };
    loop {
        if let Err(error) = log.pass_on().await {
            return error;
        }
    }
}
