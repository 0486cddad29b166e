//! Hops that the cloud names, beside those that are configured.
//!
//! The cloud is asked on another thread. The watch loop never waits for it: an
//! answer comes to it as an order, and is applied as a file is.

use std::{future::pending, time::Duration};

use tokio::sync::watch;

use super::{
    orders::{Order, Orders},
    plan::Plan,
    watcher::Watcher,
};
use crate::discovery::{Asker, Discovery, Known, aws::answers::Answers, changes};

/// Subject of failures of discovery.
pub(super) const DISCOVERED: &str = "discovery";

/// Passes the cloud's answers to the watch loop, as often as the plan asks. Never ends.
pub(crate) async fn ask(mut wanted: watch::Receiver<Option<Duration>>, orders: Orders) {
    loop {
        let asker = wanted.borrow_and_update().map(Asker::new);
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return pending().await },
            () = pass_on(asker, &orders) => {}
        }
    }
}

async fn pass_on(asker: Option<Asker>, orders: &Orders) {
    let Some(mut asker) = asker else { return pending().await };
    loop {
        orders.give(Order::Discovered(asker.answer().await));
    }
}

impl Watcher {
    /// Takes in an answer, and applies it. On failure the previous hops stay applied, until the next answer.
    pub(crate) fn discovered(&mut self, answers: Answers) {
        // The file may have changed since it was asked for.
        if self.plan.discovery.is_none() {
            return;
        }
        self.shared.metrics.figures().asked(answers.calls());
        self.known.learn(answers);
        let Discovery { hops, notes } = self.known.beside(self.plan.configured());
        self.report_unknown(notes);
        let changes = changes(self.plan.hops(), &hops);
        if changes.is_empty() {
            return;
        }
        let before = self.plan.clone();
        let applied = self.plan.replace_hops(hops).map_err(Into::into).and_then(|()| self.apply());
        match applied {
            Ok(()) => {
                self.sink.recovered(DISCOVERED);
                self.sink.discovered(&changes, self.plan.hops());
                self.shared.metrics.figures().limits(self.plan.limits.clone());
            }
            Err(error) => {
                self.plan = before;
                self.sink.failed(DISCOVERED, &error.context("discovered hops are not applied"));
            }
        }
    }

    /// Reports what was not reported before.
    fn report_unknown(&mut self, notes: Vec<String>) {
        let fresh = self.known.fresh(notes);
        if !fresh.is_empty() {
            self.sink.undiscovered(fresh);
        }
    }

    /// Adds discovered hops to a plan that is about to be applied, where it asks for discovery.
    ///
    /// Errors where a setting of the file does not go with a discovered hop.
    pub(super) fn keep_discovered(&self, plan: &mut Plan) -> anyhow::Result<()> {
        if plan.discovery.is_some() {
            let Discovery { hops, .. } = self.known.beside(plan.configured());
            plan.replace_hops(hops)?;
        }
        Ok(())
    }

    /// The plan has taken the place of `before`: asks as it says.
    pub(super) fn discover_as_planned(&mut self, before: &Plan) {
        let interval = self.plan.discovery;
        if interval.is_some() {
            let Discovery { notes, .. } = self.known.beside(self.plan.configured());
            self.report_unknown(notes);
        } else if before.discovery.is_some() {
            self.known = Known::default();
            self.sink.recovered(DISCOVERED);
            tracing::info!("discovery switched off: discovered hops removed");
        }
        self.wanted.send_if_modified(|wanted| std::mem::replace(wanted, interval) != interval);
    }
}
