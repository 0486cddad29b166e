//! How far attachments cover the connections of their cgroups.
//!
//! A look reads the sockets of all network namespaces and the descriptors of all processes. A separate thread does
//! that, and rests for long afterwards; the watch loop only compares with its records.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, oneshot},
    task::spawn_blocking,
    time::sleep,
};

use super::{
    orders::{Order, Orders},
    watcher::Watcher,
};
use crate::attachment::coverage::{Candidates, Coverage, Reason, Snapshot};

/// The first look sees older connections; the second one those opened while the cgroups were attached to.
const SECOND_AFTER: Duration = Duration::from_secs(5);
/// From then on.
const PERIOD: Duration = Duration::from_secs(60);
/// Where a look takes long, this many times as long passes until the next one.
const REST: u32 = 100;
const REST_AFTER_CHANGE: u32 = 10;

/// Attachments that a log line names.
const NAMED: usize = 3;

/// What a look found, by the name of the attachment.
pub(super) type Found = Vec<(String, Candidates)>;

/// Looks, again and again, and soon after what is attached or adopted changed.
pub(super) async fn look(orders: Orders, changed: &Notify) {
    let mut pause = SECOND_AFTER;
    loop {
        let start = Instant::now();
        if one_look(&orders).await.is_none() {
            return;
        }
        let took = start.elapsed();
        tokio::select! {
            () = sleep(pause.max(took * REST)) => {}
            () = changed.notified() => sleep(took * REST_AFTER_CHANGE).await,
        }
        pause = PERIOD;
    }
}

/// `None` where the loop is gone.
async fn one_look(orders: &Orders) -> Option<()> {
    let snapshot = spawn_blocking(Snapshot::of_all).await.ok()?;
    let (reply, compared) = oneshot::channel();
    orders.give(Order::Compare(Box::new(snapshot), reply));
    let found = compared.await.ok()?;
    // What was closed meanwhile is not missing.
    let later = if found.iter().all(|(_, candidates)| candidates.are_none()) {
        Snapshot::default()
    } else {
        spawn_blocking(Snapshot::take).await.ok()?
    };
    orders.give(Order::Covered(found, Box::new(later)));
    Some(())
}

impl Watcher {
    /// Which connections in `snapshot` have no record. An attachment that can't be read is skipped: its scans report
    /// why.
    pub(super) fn compare(&mut self, mut snapshot: Snapshot) -> Found {
        let mut found = Found::new();
        for member in self.members.values_mut() {
            self.shared.health.beat();
            let name = member.name().to_owned();
            match Candidates::of(member.attached_mut(), &mut snapshot) {
                Ok(candidates) => found.push((name, candidates)),
                Err(error) => tracing::debug!(attachment = name, "coverage: {error:#}"),
            }
        }
        found
    }

    /// Takes what a look found, and reports it.
    pub(super) fn covered(&mut self, found: &Found, later: &Snapshot) {
        let mut coverages = BTreeMap::new();
        for (name, candidates) in found {
            let member = self.members.values_mut().find(|member| member.name() == name);
            let Some(member) = member else { continue };
            let coverage = Coverage::new(&member.seen.totals, candidates, later);
            member.coverage = Some(coverage.clone());
            coverages.insert(name.clone(), coverage);
        }
        self.shared.metrics.figures().uncovered(by_reason(coverages.values()));
        self.sink.coverage(&coverages);
    }

    /// Looks at once, and reports what is not covered.
    pub(super) fn report_coverage(&mut self) {
        let mut coverages = BTreeMap::new();
        for member in self.members.values_mut() {
            let attached = member.attached_mut();
            match attached.totals().and_then(|totals| Coverage::of(attached, &totals)) {
                Ok(coverage) => drop(coverages.insert(member.name().to_owned(), coverage)),
                Err(error) => {
                    self.sink.failed(member.name(), &error.context("looking for connections that are not covered"));
                }
            }
        }
        self.sink.coverage(&coverages);
    }
}

/// Sums over all attachments, with a number for every reason.
fn by_reason<'a, I: Iterator<Item = &'a Coverage>>(coverages: I) -> BTreeMap<&'static str, u64> {
    let mut sums: BTreeMap<_, _> = Reason::ALL.into_iter().map(|reason| (reason.name(), 0)).collect();
    for (reason, count) in coverages.flat_map(|coverage| &coverage.uncovered) {
        *sums.entry(reason.name()).or_default() += count;
    }
    sums
}

/// What is not covered, of the first few attachments that lack something.
pub(super) fn gaps(coverages: &BTreeMap<String, Coverage>) -> String {
    let mut gaps = coverages.iter().filter(|(_, coverage)| coverage.uncovered() > 0);
    let named: Vec<_> = gaps
        .by_ref()
        .take(NAMED)
        .filter_map(|(name, coverage)| Some(format!("{name}: {}", coverage.gap(name)?)))
        .collect();
    let more = gaps.count();
    let more = if more > 0 { format!("; and those of {more} more attachments") } else { String::new() };
    named.join("; ") + &more
}

/// What is to be logged about the number of connections that are not covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// There are many more than were reported.
    Missing,
    /// There are none any more.
    AllCovered,
}

/// What there is to log where `now` connections are not covered, and how many
/// are taken as reported then. Fewer are no news, and some more are neither.
pub(super) const fn news(reported: u64, now: u64) -> (Option<News>, u64) {
    match (reported, now) {
        (0, 0) => (None, 0),
        (_, 0) => (Some(News::AllCovered), 0),
        (0, _) => (Some(News::Missing), now),
        _ if now >= 2 * reported + 10 => (Some(News::Missing), now),
        _ if now < reported => (None, now),
        _ => (None, reported),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_logged_at_the_start_and_when_it_changes_a_lot() {
        let (missing, covered) = (Some(News::Missing), Some(News::AllCovered));
        let steps = [(0, None), (2000, missing), (2100, None), (1500, None), (4000, missing), (3, None), (15, None)];
        let more = [(16, missing), (0, covered), (0, None), (1, missing)];
        let mut reported = 0;
        for (now, expected) in steps.into_iter().chain(more) {
            let (logged, taken) = news(reported, now);
            assert_eq!(logged, expected, "{now} after {reported}");
            reported = taken;
        }
    }

    #[test]
    fn every_reason_has_a_number() {
        let coverage = |count| Coverage { uncovered: [(Reason::BeforeAttach, count)].into(), ..Coverage::default() };
        let sums = by_reason([coverage(2), coverage(3)].iter());
        assert_eq!((sums["before_attach"], sums["mptcp"], sums.len()), (5, 0, Reason::ALL.len()));
    }
}
