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

/// What failures are about that are about what was discovered.
pub(super) const DISCOVERED: &str = "what was discovered";

/// Gives the watch loop the cloud's answers, for as long as it wants any, and
/// how often. Never ends.
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
    /// Takes in an answer, and applies it. Where that does not work, what is
    /// applied stays, and the next answer is another chance.
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
                self.sink.failed(DISCOVERED, &error.context("what was discovered is not applied"));
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

    /// Puts what is known beside the hops of a plan that is about to be applied,
    /// where it asks for that.
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
            tracing::info!("the cloud is no longer asked: hops that only it named are gone");
        }
        self.wanted.send_if_modified(|wanted| std::mem::replace(wanted, interval) != interval);
    }
}
