//! The watch loop: the one thread that owns what is attached.
//!
//! It sleeps until the next flow could change its status, until somebody asks
//! for something, or for [`ROUND`]. Nobody else ever holds it up: what is asked
//! for goes into a channel, and the log into a queue.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use tokio::sync::{oneshot, watch};

use super::{
    Shared,
    ask::DISCOVERED,
    health::ROUND,
    hints::Hints,
    journal::Journal,
    member::Member,
    observation::{Listing, Observation},
    plan::{Look, Plan, Source},
};
use crate::{
    attachment::adopt::Unless,
    bpf::Standing,
    config::OnExit,
    discovery::{Known, aws::answers::Answers},
    error::Error,
    flow::Names,
    host::{
        cgroup::{self, expand},
        descriptors,
    },
};

/// A file that is being written, or an attachment in trouble, is looked at
/// again after this time.
const SOON: Duration = Duration::from_millis(100);
/// A cgroup that can't be attached to is tried again after this time.
const LATER: Duration = Duration::from_secs(2);

/// What complaints are about that are about no attachment.
pub(super) const LOOKING: &str = "looking after cgroups";

/// What the loop is asked for.
#[derive(Debug)]
pub(super) enum Order {
    /// Something may have come or gone.
    Look,
    /// There are flows that no scan has seen, and that may be silent for long.
    Scan,
    /// The file is to be read again, whether it changed or not.
    Reload,
    /// The cloud has answered.
    Discovered(Answers),
    /// All figures.
    Observe(oneshot::Sender<Arc<Observation>>),
    /// All flows, so many at most.
    Flows(u32, oneshot::Sender<Listing>),
    /// It is over.
    Stop,
}

/// Where to ask.
#[derive(Clone, Debug)]
pub(super) struct Orders(mpsc::Sender<Order>);

impl Orders {
    /// A way to ask, and what is asked for.
    pub(super) fn new() -> (Self, mpsc::Receiver<Order>) {
        let (sender, receiver) = mpsc::channel();
        (Self(sender), receiver)
    }

    /// Asks. Nobody is there any more at the very end.
    pub(super) fn give(&self, order: Order) {
        drop(self.0.send(order));
    }

    /// Something may have come or gone.
    pub(super) fn look(&self) {
        self.give(Order::Look);
    }
}

/// The loop's own state.
#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) source: Source,
    pub(super) plan: Plan,
    /// By the cgroup's path: where cgroup v2 is mounted may change.
    pub(super) members: BTreeMap<PathBuf, Member>,
    pub(super) journal: Journal,
    pub(super) names: Names,
    pub(super) shared: Arc<Shared>,
    /// What the cloud told.
    pub(super) known: Known,
    /// How often it is to be asked.
    pub(super) wanted: watch::Sender<Option<Duration>>,
    hints: Hints,
    look_at: Instant,
    /// It is attached to nothing, and that was told.
    is_idle: bool,
}

impl Watcher {
    /// Attached to nothing yet. Also returns how often the cloud is to be asked.
    pub(super) fn new(
        source: Source,
        plan: Plan,
        shared: Arc<Shared>,
        hints: Hints,
    ) -> (Self, watch::Receiver<Option<Duration>>) {
        let names = || Names::new(&plan.agent.pod_logs, &plan.agent.pod_cgroups);
        let (wanted, wishes) = watch::channel(plan.discovery);
        let watcher = Self {
            journal: Journal::new(names()),
            names: names(),
            source,
            plan,
            members: BTreeMap::new(),
            shared,
            known: Known::default(),
            wanted,
            hints,
            look_at: Instant::now(),
            is_idle: false,
        };
        (watcher, wishes)
    }

    /// Attaches, tells `started` whether that is possible at all, and watches
    /// until it is told to stop.
    pub(super) fn run(mut self, orders: &mpsc::Receiver<Order>, started: oneshot::Sender<anyhow::Result<()>>) {
        let first = self.look(true);
        let is_possible = first.is_ok();
        drop(started.send(first));
        while is_possible && self.turn(orders) {}
        self.end();
    }

    /// One turn of the loop. False once it is over.
    fn turn(&mut self, orders: &mpsc::Receiver<Order>) -> bool {
        self.shared.health.beat();
        let dues = self.members.values().map(|member| member.due);
        let next = dues.fold(self.look_at, Instant::min);
        match orders.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Order::Look) => self.look_at = Instant::now(),
            Ok(Order::Scan) => self.members.values_mut().for_each(|member| member.due = Instant::now()),
            Ok(Order::Reload) => self.reload(),
            Ok(Order::Discovered(answers)) => self.discovered(answers),
            // Who asked while the loop was held up may have given up.
            Ok(Order::Observe(reply)) if reply.is_closed() => {}
            Ok(Order::Flows(_, reply)) if reply.is_closed() => {}
            Ok(Order::Observe(reply)) => drop(reply.send(Arc::new(self.observe()))),
            Ok(Order::Flows(budget, reply)) => drop(reply.send(self.flows(budget))),
            Ok(Order::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => return false,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if self.look_at <= Instant::now() {
            // Only the first look ends the agent.
            match self.look(false) {
                Ok(()) => self.journal.is_well(LOOKING),
                Err(error) => self.journal.complain(LOOKING, &error),
            }
        }
        self.scan();
        true
    }

    /// Scans what is due.
    fn scan(&mut self) {
        let now = Instant::now();
        for member in self.members.values_mut().filter(|member| member.due <= now) {
            let scanned = member.scan(&mut self.journal, &self.shared.metrics);
            match scanned {
                Ok(()) => self.journal.is_well(member.name()),
                Err(error) => {
                    self.shared.metrics.figures().scan_failures += 1;
                    self.journal.complain(member.name(), &error);
                    member.put_off(LATER);
                    self.look_at = self.look_at.min(now + SOON);
                }
            }
        }
    }

    /// Looks after the file, what is attached and what should be.
    ///
    /// Errors where this host can't do it at all, and `is_first`.
    pub(super) fn look(&mut self, is_first: bool) -> anyhow::Result<()> {
        self.look_at = Instant::now() + ROUND;
        match self.source.look() {
            Look::Same => {}
            Look::Changing => self.look_at = Instant::now() + SOON,
            Look::Changed => self.reload(),
        }
        self.attach(is_first)
    }

    /// Makes what is attached what the plan says.
    pub(super) fn attach(&mut self, is_first: bool) -> anyhow::Result<()> {
        let mount = cgroup::mount_point()?;
        let expansion = expand(&self.plan.agent.cgroups, &mount);
        let mut watched = expansion.parents;
        self.leave(|path| expansion.found.contains(path));
        self.survey(&expansion.found, &mut watched)?;
        let mut lacks: Vec<_> = expansion.missing.iter().map(|path| format!("{path}: no such cgroup yet")).collect();
        for path in &expansion.found {
            if self.members.contains_key(path) {
                continue;
            }
            self.shared.health.beat();
            let directory = cgroup::below(&mount, path);
            if let Err(error) = self.take(path, &directory) {
                if !directory.exists() {
                    // Removed meanwhile.
                    continue;
                }
                if is_first && is_hopeless(&error) {
                    return Err(error);
                }
                self.journal.complain(&path.to_string_lossy(), &error);
                lacks.push(format!("{}: {error:#}", path.display()));
                self.look_at = self.look_at.min(Instant::now() + LATER);
            }
        }
        self.tell_whether_idle(&mut lacks);
        self.journal.forget_all_but(|about| {
            [LOOKING, DISCOVERED].contains(&about)
                || expansion.found.contains(Path::new(about))
                || self.members.values().any(|member| member.name() == about)
        });
        watched.extend(self.members.values().map(Member::pins));
        self.hints.entries(&watched);
        self.hints.file(self.source.path());
        self.shared.metrics.figures().attached_cgroups = self.members.len() as u64;
        self.shared.health.looked(lacks);
        Ok(())
    }

    /// A glob that matches nothing is fine, but an agent that protects nothing
    /// at all has the wrong ones, most likely.
    fn tell_whether_idle(&mut self, lacks: &mut Vec<String>) {
        // What else is wrong has been told.
        let is_idle = self.members.is_empty() && lacks.is_empty();
        let was_idle = std::mem::replace(&mut self.is_idle, is_idle);
        if !is_idle {
            return;
        }
        let patterns: Vec<_> =
            self.plan.agent.cgroups.iter().map(|pattern| format!("{:?}", pattern.as_str())).collect();
        let lack = format!("attached to nothing: no cgroup matches {}", patterns.join(" or "));
        if !was_idle {
            tracing::warn!("{lack}");
        }
        lacks.push(lack);
    }

    fn take(&mut self, path: &Path, directory: &Path) -> anyhow::Result<()> {
        descriptors::check()?;
        let (mut member, notes) = Member::take(directory, &self.plan.rules)?;
        self.journal.is_well(&path.to_string_lossy());
        tracing::info!(attachment = member.name(), cgroup = %member.path().display(), "attached");
        for note in notes {
            tracing::info!(attachment = member.name(), "{note}");
        }
        member.number(&self.plan.rules.cgroups)?;
        if self.plan.agent.adopt {
            member.adopt(Unless::ToldNot);
        } else if self.plan.asks_to_adopt() {
            member.adopt(Unless::Told);
        }
        self.members.insert(path.to_owned(), member);
        Ok(())
    }

    /// Lets go of what is no longer wanted, or no longer at work.
    fn leave(&mut self, is_wanted: impl Fn(&Path) -> bool) {
        let metrics = &self.shared.metrics;
        let gone: Vec<_> = self
            .members
            .iter_mut()
            .filter_map(|(path, member)| {
                let stays = is_wanted(path) && matches!(member.look(), Ok(Standing::AtWork | Standing::Unpinned));
                (!stays).then(|| path.clone())
            })
            .collect();
        for mut member in gone.iter().filter_map(|path| self.members.remove(path)) {
            let name = member.name().to_owned();
            let left = match member.look() {
                // Its pins, if any, are another's.
                Ok(Standing::Replaced) => {
                    tracing::warn!(attachment = name, "another one has its name");
                    member.forget(metrics);
                    Ok(())
                }
                Ok(Standing::Detached) => {
                    tracing::warn!(
                        attachment = name,
                        "was detached by someone else, and is attached again: to end it, change the configuration"
                    );
                    member.detach(metrics)
                }
                Ok(Standing::CgroupRemoved) => {
                    tracing::info!(attachment = name, "its cgroup was removed");
                    member.detach(metrics)
                }
                Ok(Standing::AtWork | Standing::Unpinned) => {
                    tracing::info!(attachment = name, "detached: the configuration no longer names its cgroup");
                    member.detach(metrics)
                }
                // As it can't be looked at, it is taken anew.
                Err(error) => {
                    member.forget(metrics);
                    Err(error)
                }
            };
            if let Err(error) = left {
                self.journal.complain(&name, &error);
            }
        }
    }

    /// The end: what was asked for becomes of the programs.
    fn end(self) {
        let what = match self.plan.agent.on_exit {
            OnExit::Keep => "left at work",
            OnExit::Detach => "detached",
        };
        let count = self.members.len();
        if self.plan.agent.on_exit == OnExit::Detach {
            for member in self.members.into_values() {
                let name = member.name().to_owned();
                if let Err(error) = member.detach(&self.shared.metrics) {
                    tracing::error!(attachment = name, "not detached: {error:#}");
                }
            }
        }
        tracing::info!(attachments = count, "ending: programs {what}");
    }
}

/// Nothing will change by itself: the host lacks something.
fn is_hopeless(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<Error>(), Some(Error::Privilege { .. } | Error::Unsupported { .. }))
}
