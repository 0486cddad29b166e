//! What a foreground `attach` sees, as events on stdout and messages on stderr.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use anyhow::Context as _;
use futures_util::future::{BoxFuture, FutureExt as _};
use injector_common::{record::FlowSample, scan::ScanTotals};

use crate::{
    agent::{OnLoss, Sink},
    attachment::{adopt::Report, coverage::Coverage, watch::FlowChange},
    bpf::{Attached, AttachmentState, stats::Counters},
    config::OnExit,
    discovery,
    flow::{Names, Origin},
    hop::Hop,
    output::{self, Event, Outlet, Summary},
};

/// Writes events to stdout, and everything else to stderr.
#[derive(Debug)]
pub(super) struct StdoutEvents {
    outlet: Outlet,
    name: String,
    on_loss: OnLoss,
    names: Names,
    started: Instant,
    /// The last failure of each subject.
    failures: HashMap<String, String>,
    /// The last figures that could be read.
    figures: Option<anyhow::Result<(Counters, ScanTotals)>>,
    /// Whether programs stayed attached at the end.
    is_active: bool,
    /// The first event that could not be serialised.
    unwritten: Option<std::io::Error>,
}

impl StdoutEvents {
    /// Of the attachment `name`, from now on.
    pub(super) fn new(outlet: Outlet, name: &str, on_loss: OnLoss) -> Self {
        Self {
            outlet,
            name: name.to_owned(),
            on_loss,
            names: Names::default(),
            started: Instant::now(),
            failures: HashMap::new(),
            figures: None,
            is_active: false,
            unwritten: None,
        }
    }

    fn write(outlet: &mut Outlet, unwritten: &mut Option<std::io::Error>, event: &Event<'_>) {
        if let Err(error) = outlet.write(event) {
            unwritten.get_or_insert(error);
        }
    }

    fn message(&self, what: std::fmt::Arguments<'_>) {
        output::message(format_args!("injector: {}: {what}", self.name));
    }
}

impl Sink for StdoutEvents {
    fn attached(&mut self, attached: &Attached, notes: &[String]) {
        for note in notes {
            output::message(format_args!("injector: note: {}: {note}", self.name));
        }
        self.figures = None;
        Self::write(&mut self.outlet, &mut self.unwritten, &Event::attached(attached));
    }

    fn adopted(&mut self, name: &str, report: &Report) {
        if let Some(gap) = report.gap() {
            output::message(format_args!("injector: note: {gap}"));
        }
        Self::write(&mut self.outlet, &mut self.unwritten, &Event::Adopted { attachment: name, report });
    }

    fn coverage(&mut self, coverages: &BTreeMap<String, Coverage>) {
        for (name, coverage) in coverages {
            if let Some(gap) = coverage.gap(name) {
                output::message(format_args!("injector: note: {name}: not covered: {gap}"));
            }
        }
    }

    fn changed(&mut self, origin: &Origin, changes: &[(FlowChange, FlowSample)]) {
        self.names.refresh();
        for (change, sample) in changes {
            let flow = self.names.flow(origin, sample, None);
            Self::write(&mut self.outlet, &mut self.unwritten, &Event::change(*change, &flow));
        }
    }

    fn discovered(&mut self, changes: &[discovery::HopChange], hops: &[Hop]) {
        let event = Event::discovered(&self.name, hops, changes);
        Self::write(&mut self.outlet, &mut self.unwritten, &event);
    }

    fn undiscovered(&mut self, notes: Vec<String>) {
        for note in notes {
            self.message(format_args!("{note}"));
        }
    }

    fn repinned(&mut self, _name: &str) {
        self.message(format_args!("its pins were removed by another process, pinned again"));
    }

    fn failed(&mut self, about: &str, error: &anyhow::Error) {
        let text = format!("{error:#}");
        if self.failures.get(about) != Some(&text) {
            self.message(format_args!("{text}"));
            self.failures.insert(about.to_owned(), text);
        }
    }

    fn recovered(&mut self, about: &str) {
        self.failures.remove(about);
    }

    fn keep_failures(&mut self, is_there: &dyn Fn(&str) -> bool) {
        self.failures.retain(|about, _| is_there(about));
    }

    fn lost(&mut self, _name: &str, state: AttachmentState) {
        match state {
            AttachmentState::CgroupRemoved if self.on_loss == OnLoss::Follow => {
                self.message(format_args!("its cgroup was removed: attaching again when it is recreated"));
            }
            AttachmentState::CgroupRemoved => self.message(format_args!("its cgroup was removed, shutting down")),
            AttachmentState::Replaced => self.message(format_args!("another attachment took its name, shutting down")),
            _ => self.message(format_args!("was detached by another process, shutting down")),
        }
    }

    fn unwanted(&mut self, _name: &str) {}

    fn leaving(&mut self, attached: &mut Attached, state: AttachmentState) {
        // Figures of an attachment that another process took over or detached are its own to report.
        let is_ours = !matches!(state, AttachmentState::Detached | AttachmentState::Replaced);
        self.is_active = state.is_active();
        self.figures = is_ours.then(|| Ok((attached.counters()?, attached.totals()?)));
    }

    fn ended(&mut self, _attachments: usize, on_exit: OnExit) -> anyhow::Result<()> {
        if let Some(error) = self.unwritten.take() {
            return Err(error).context("writing an event");
        }
        let Some(figures) = self.figures.take() else { return Ok(()) };
        let (counters, totals) = figures?;
        let watched_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let summary = Summary::new(watched_ms, self.is_active && on_exit == OnExit::Keep, &counters, &totals);
        Ok(self.outlet.write(&Event::Summary(summary))?)
    }

    fn is_full(&self) -> bool {
        self.outlet.is_full()
    }

    fn has_room(&mut self) -> BoxFuture<'_, ()> {
        self.outlet.has_room().boxed()
    }
}
