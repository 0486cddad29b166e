//! The watch loop, and the agent around it: `injector run`.
//!
//! Two threads. One is the watch loop (`watcher.rs`): it owns what is attached, scans when a flow could be in trouble,
//! and reads the configuration again. The other one runs the server (`http/`), signals and hints, asks the cloud for
//! hops (`ask.rs`), and asks the loop by messages. A client that does not read, a full log pipe, or a cloud API that
//! does not answer blocks neither. A foreground `attach` is the same loop, for one cgroup and with another [`sink`].
//!
//! ```text
//! file, arguments, cloud -> plan -> watcher -> bpf
//! watcher -> sink: journal (log), or events on stdout
//! watcher -> metrics, observation -> http
//! ```

mod apply;
mod ask;
mod attachments;
mod coverage;
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
mod orders;
mod pacer;
mod plan;
mod reload;
mod service;
mod sink;
mod source;
mod survey;
mod targets;
mod thread;
mod watcher;

use std::{
    future::pending,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

pub use http::{FlowQuery, MAX_FLOWS, Route, route, web};
pub use listen::Listen;
use tokio::{sync::Notify, time};

use self::{
    health::Health,
    journal::Journal,
    orders::{Order, Orders},
    source::ConfigFile,
};
pub(crate) use self::{
    plan::{OnLoss, Plan},
    sink::Sink,
    targets::TargetCgroup,
    thread::{Started, WatchThread, attach_once},
};
use crate::{
    agent::metrics::{Metrics, Reload},
    bpf::{pins, preflight},
    host::{
        logging,
        signals::{OnHangup, SignalRequest, Signals},
    },
};

/// Shutdown takes no longer than this, whatever is under way.
const END_WITHIN: Duration = Duration::from_secs(4);

/// The watch loop waits no longer than this for a lock that another process holds.
const LOCKED_WITHIN: Duration = Duration::from_millis(500);

/// What the watch loop and the server share.
#[derive(Debug, Default)]
struct Shared {
    health: Health,
    metrics: Metrics,
    hosts: http::Hosts,
    /// Something happened that changes which connections are covered.
    coverage_changed: Notify,
}

/// Runs the agent until a signal stops it.
///
/// Errors before it is attached where the host, a privilege or the
/// configuration does not allow it.
pub(crate) fn run(config: PathBuf, listen: &Listen, verbose: u8) -> anyhow::Result<()> {
    let mut source = ConfigFile::new(config);
    let plan = source.load()?;
    // It serves clients: a lock that is held for longer is tried again later.
    pins::wait_at_most(LOCKED_WITHIN);
    preflight::prepare()?;
    // Not shared: a watch loop that does not end would keep the last lines from being written.
    let (log, _writer) = logging::init_agent(verbose, plan.agent.log);
    for remark in plan.remarks() {
        tracing::warn!("{remark}");
    }
    let shared = Arc::new(Shared { hosts: http::Hosts::new(&plan.agent.allowed_hosts), ..Shared::default() });
    shared.metrics.figures().limits(plan.limits.clone());
    shared.metrics.figures().reloaded(Reload::Taken(SystemTime::now()));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let signals = Signals::new(OnHangup::Reload)?;
        let server = listen::bind(listen).await?;
        let names = || crate::flow::Names::new(&plan.agent.pod_logs, &plan.agent.pod_cgroups);
        let (journal, names) = (Journal::new(names(), log, Arc::clone(&shared)), names());
        let (mut thread, started) = WatchThread::spawn(Some(source), plan, Box::new(journal), Arc::clone(&shared))?;
        let orders = thread.orders();
        let serve = http::serve(server, http::State::new(Arc::clone(&shared), orders.clone(), names));
        tokio::select! {
            () = until_asked(started, signals, &orders, &shared) => {}
            () = serve => {}
            ended = thread.feed() => return ended,
            () = coverage::look(orders.clone(), &shared.coverage_changed) => {}
            () = watchdog(&shared) => {}
        }
        service::stopping();
        thread.stop(END_WITHIN).await.unwrap_or_else(|| {
            tracing::error!("the watch loop does not stop: exiting without it");
            Ok(())
        })
    });
    // Threads that answer a client may go on for long.
    runtime.shutdown_background();
    result
}

/// Runs until a signal stops it.
async fn until_asked(started: Started, mut signals: Signals, orders: &Orders, shared: &Shared) {
    tokio::select! {
        started = started => if started.is_err() { return pending().await },
        () = signals.end() => return,
    }
    tracing::info!(cgroups = shared.metrics.figures().attached_cgroups, "agent started");
    service::ready();
    while signals.next().await == SignalRequest::Reload {
        orders.give(Order::Reload);
    }
}

/// Reports to the service manager that the agent is alive, for as long as that is true.
async fn watchdog(shared: &Shared) {
    let Some(interval) = service::watchdog() else { return pending().await };
    loop {
        time::sleep(interval).await;
        match shared.health.stuck() {
            None => service::alive(),
            Some(stuck) => tracing::error!("the watch loop has been stuck for {}s", stuck.as_secs()),
        }
    }
}
