//! A watch loop on a thread of its own.

use std::{io, sync::Arc, thread, time::Duration};

use anyhow::Context as _;
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use super::{
    Shared, ask,
    hints::{self, Events, Hints},
    orders::{Order, Orders},
    plan::Plan,
    sink::Sink,
    source::ConfigFile,
    watcher::Watcher,
};
use crate::{discovery::aws, host::clock::ClockJumps};

/// Resolves once the loop has attached. Where it can't, the loop ends with an error.
pub(crate) type Started = oneshot::Receiver<()>;

/// A watch loop that runs.
#[derive(Debug)]
pub(crate) struct WatchThread {
    orders: Orders,
    ended: oneshot::Receiver<anyhow::Result<()>>,
    wishes: watch::Receiver<Option<Duration>>,
    events: Option<Events>,
}

impl WatchThread {
    /// Starts it. To be called within a runtime.
    pub(super) fn spawn(
        source: Option<ConfigFile>,
        plan: Plan,
        sink: Box<dyn Sink>,
        shared: Arc<Shared>,
    ) -> io::Result<(Self, Started)> {
        let (hints, events) = Hints::new();
        let (orders, receiver) = Orders::new();
        let (watcher, wishes) = Watcher::new(source, plan, sink, shared, hints);
        let (started_sender, started) = oneshot::channel();
        let (ended_sender, ended) = oneshot::channel();
        thread::Builder::new().name("watch".to_owned()).spawn(move || {
            // The receiver is gone where this took too long.
            drop(ended_sender.send(watcher.run(receiver, started_sender)));
        })?;
        Ok((Self { orders, ended, wishes, events }, started))
    }

    /// Starts one that only reports to its sink. To be called within a runtime.
    pub(crate) fn watch(plan: Plan, sink: Box<dyn Sink>) -> io::Result<(Self, Started)> {
        Self::spawn(None, plan, sink, Arc::default())
    }

    /// A way to ask it.
    pub(super) fn orders(&self) -> Orders {
        self.orders.clone()
    }

    /// Passes on outside events and discovered hops. Returns once the loop ends by itself.
    pub(crate) async fn feed(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            ended = ended(&mut self.ended) => ended,
            () = hints::pass_on(&mut self.events, &self.orders) => Ok(()),
            () = ask::ask(self.wishes.clone(), self.orders.clone()) => Ok(()),
            () = look_after_jumps(&self.orders) => Ok(()),
        }
    }

    /// Stops it, and waits at most so long; `None` where it does not end.
    pub(crate) async fn stop(mut self, within: Duration) -> Option<anyhow::Result<()>> {
        self.orders.give(Order::Stop);
        timeout(within, ended(&mut self.ended)).await.ok()
    }
}

/// Orders a scan of all flows after each jump of the clock.
async fn look_after_jumps(orders: &Orders) {
    let mut jumps = ClockJumps::new();
    loop {
        jumps.next().await;
        orders.give(Order::Scan);
    }
}

async fn ended(receiver: &mut oneshot::Receiver<anyhow::Result<()>>) -> anyhow::Result<()> {
    receiver.await.context("the watch loop ended unexpectedly")?
}

/// Attaches, adopts and asks the cloud once, as planned, and leaves the programs
/// attached. To be called within a runtime.
pub(crate) async fn attach_once(plan: Plan, sink: Box<dyn Sink>) -> anyhow::Result<()> {
    let (hints, _events) = Hints::new();
    let is_asking = plan.discovery.is_some();
    let (mut watcher, _wishes) = Watcher::new(None, plan, sink, Arc::default(), hints);
    watcher.look(true)?;
    watcher.report_coverage();
    if is_asking {
        watcher.discovered(aws::ask().await);
    }
    Ok(())
}
