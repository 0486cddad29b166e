//! Hops that the cloud names, beside those of the file.
//!
//! The cloud is asked on the server's side. The watch loop never waits for it:
//! an answer comes to it as an order, and is put in force as a file is.

use std::{future::pending, time::Duration};

use tokio::sync::watch;

use super::{
    plan::Plan,
    watcher::{Order, Orders, Watcher},
};
use crate::discovery::{Asker, Discovery, Known, aws::answers::Answers, changes};

/// What complaints are about that are about what was discovered.
pub(super) const DISCOVERED: &str = "what was discovered";

/// Gives the watch loop the cloud's answers, for as long as it wants any, and
/// how often. Never ends.
pub(super) async fn ask(mut wanted: watch::Receiver<Option<Duration>>, orders: Orders) {
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
    /// Takes in an answer, and puts what it says in force. Where that does not
    /// work, what is in force stays, and the next answer is another chance.
    pub(super) fn discovered(&mut self, answers: Answers) {
        // The file may have changed since it was asked for.
        if self.plan.discovery.is_none() {
            return;
        }
        self.shared.metrics.figures().asked(answers.calls());
        self.known.learn(answers);
        let Discovery { hops, notes } = self.known.beside(self.plan.told());
        self.journal.not_known(self.known.fresh(notes));
        let changes = changes(self.plan.hops(), &hops);
        if changes.is_empty() {
            return;
        }
        let before = self.plan.clone();
        let replaced = self.plan.replace_hops(hops).map_err(Into::into).and_then(|()| self.put_in_force());
        match replaced {
            Ok(()) => {
                self.journal.is_well(DISCOVERED);
                self.journal.discovered(&changes);
                self.shared.metrics.figures().limits(self.plan.limits.clone());
            }
            Err(error) => {
                self.plan = before;
                self.journal.complain(DISCOVERED, &error.context("it is not in force"));
            }
        }
    }

    /// Puts what is known beside the hops of a plan that comes into force, where
    /// it asks for that.
    ///
    /// Errors where a setting of the file does not go with a discovered hop.
    pub(super) fn keep_discovered(&self, plan: &mut Plan) -> anyhow::Result<()> {
        if plan.discovery.is_some() {
            let Discovery { hops, .. } = self.known.beside(plan.told());
            plan.replace_hops(hops)?;
        }
        Ok(())
    }

    /// The plan in force has taken the place of `before`: asks as it says.
    pub(super) fn discover_as_planned(&mut self, before: &Plan) {
        let interval = self.plan.discovery;
        if interval.is_some() {
            let Discovery { notes, .. } = self.known.beside(self.plan.told());
            self.journal.not_known(self.known.fresh(notes));
        } else if before.discovery.is_some() {
            self.known = Known::default();
            self.journal.is_well(DISCOVERED);
            tracing::info!("the cloud is no longer asked: hops that only it named are gone");
        }
        self.wanted.send_if_modified(|wanted| std::mem::replace(wanted, interval) != interval);
    }
}
