//! The agent: `injector run`.
//!
//! Two threads. One is the watch loop (`watcher.rs`): it owns what is attached,
//! scans when a flow could be in trouble, and reads the configuration again.
//! The other one runs the server (`http/`), signals and hints, asks the cloud
//! for hops (`discovery.rs`), and asks the loop by messages. A client that does
//! not read, a log that nobody drains, or a cloud that does not answer holds up
//! neither.
//!
//! ```text
//! file, cloud -> plan -> watcher -> bpf
//! watcher -> journal (log), metrics, observation -> http
//! ```

mod ask;
mod health;
mod hints;
mod http;
mod journal;
mod limiter;
mod listen;
mod member;
pub mod metrics;
mod observation;
mod observe;
mod plan;
mod reload;
mod service;
mod survey;
mod watcher;

use std::{
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
pub use http::{FlowQuery, MAX_FLOWS, Route, route, web};
pub use listen::Listen;
use tokio::{
    signal::unix::{self, SignalKind},
    sync::oneshot,
    time,
};

use self::{
    health::Health,
    hints::Hints,
    plan::Source,
    watcher::{Order, Orders, Watcher},
};
use crate::{
    agent::metrics::{Metrics, Reload},
    bpf::{pins, preflight},
    host::{
        logging::{self, AgentLog},
        signals::Signal,
    },
};

/// The end takes no longer than this, whatever is under way.
const END_WITHIN: Duration = Duration::from_secs(4);

/// The watch loop waits no longer than this for a lock that another process holds.
const LOCKED_WITHIN: Duration = Duration::from_millis(500);

/// What the watch loop and the server share.
#[derive(Debug)]
struct Shared {
    health: Health,
    metrics: Metrics,
    log: AgentLog,
    hosts: http::Hosts,
}

/// Runs the agent until it is told to end.
///
/// Errors before it is attached where the host, a privilege or the
/// configuration does not allow it.
pub fn run(config: PathBuf, listen: &Listen, verbose: u8) -> anyhow::Result<()> {
    let mut source = Source::new(config);
    let plan = source.load()?;
    preflight::check_capabilities()?;
    preflight::check_lockdown()?;
    // It serves others: a lock that somebody holds for longer is for the next time.
    pins::wait_at_most(LOCKED_WITHIN);
    preflight::ensure_bpffs()?;
    preflight::lift_memory_limit();
    // Not with what is shared: a watch loop that does not end would keep the last lines from being written.
    let (log, _writer) = logging::init_agent(verbose, plan.agent.log);
    for remark in &plan.remarks {
        tracing::warn!("{remark}");
    }
    let shared = Arc::new(Shared {
        health: Health::new(),
        metrics: Metrics::new(),
        log,
        hosts: http::Hosts::new(&plan.agent.allowed_hosts),
    });
    shared.metrics.figures().limits(plan.limits.clone());
    shared.metrics.figures().reloaded(Reload::Taken(SystemTime::now()));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let signals = Signals::new()?;
        let server = listen::bind(listen).await?;
        let (hints, events) = Hints::new();
        let (orders, receiver) = Orders::new();
        let names = crate::flow::Names::new(&plan.agent.pod_logs, &plan.agent.pod_cgroups);
        let (watcher, wishes) = Watcher::new(source, plan, Arc::clone(&shared), hints);
        let (started_sender, started) = oneshot::channel();
        let (ended_sender, ended) = oneshot::channel();
        thread::Builder::new().name("watch".to_owned()).spawn(move || {
            watcher.run(&receiver, started_sender);
            // Nobody waits any more where it took too long.
            let _ = ended_sender.send(());
        })?;
        let serve = http::serve(server, http::State::new(Arc::clone(&shared), orders.clone(), names));
        let result = tokio::select! {
            result = until_told(started, signals, &orders, &shared) => result,
            () = serve => Ok(()),
            () = hints::pass_on(events, orders.clone()) => Ok(()),
            () = ask::ask(wishes, orders.clone()) => Ok(()),
            () = watchdog(&shared) => Ok(()),
        };
        service::stopping();
        orders.give(Order::Stop);
        if time::timeout(END_WITHIN, ended).await.is_err() {
            tracing::error!("the watch loop does not end: leaving it");
        }
        result
    });
    // Threads that answer somebody may go on for long.
    runtime.shutdown_background();
    result
}

/// Goes on until a signal ends it.
async fn until_told(
    started: oneshot::Receiver<anyhow::Result<()>>,
    mut signals: Signals,
    orders: &Orders,
    shared: &Shared,
) -> anyhow::Result<()> {
    tokio::select! {
        started = started => started.context("the watch loop ended")??,
        () = signals.end() => return Ok(()),
    }
    tracing::info!(cgroups = shared.metrics.figures().attached_cgroups, "at work");
    service::ready();
    while signals.next().await == Told::Reload {
        orders.give(Order::Reload);
    }
    Ok(())
}

/// Tells the service manager that we are alive, for as long as that is true.
async fn watchdog(shared: &Shared) {
    let Some(interval) = service::watchdog() else { return std::future::pending().await };
    loop {
        time::sleep(interval).await;
        match shared.health.stuck() {
            None => service::alive(),
            Some(silence) => tracing::error!("the watch loop is stuck for {} s", silence.as_secs()),
        }
    }
}

/// The signals an agent takes. A hangup ends nothing, so it is taken even where
/// `nohup` has it ignored.
#[derive(Debug)]
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: Signal::unless_ignored(SignalKind::interrupt())?,
            terminate: Signal::unless_ignored(SignalKind::terminate())?,
            hangup: unix::signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.interrupt.recv() => Told::End,
            _ = self.terminate.recv() => Told::End,
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    /// One to read again is of no use before there is anything to replace.
    async fn end(&mut self) {
        while self.next().await == Told::Reload {}
    }
}

/// What a signal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    End,
    Reload,
}
