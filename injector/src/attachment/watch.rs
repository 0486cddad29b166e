//! Watches an attachment: which flows to report, and when to scan again.
//!
//! Scans are driven by deadlines. Each computes when the first flow could change its status by staying idle; until then
//! the process sleeps.

use std::{collections::HashMap, time::Duration};

use injector_common::{
    attachment::Pace,
    record::FlowSample,
    record::UNIT_NS,
    scan::{NEVER, ScanTotals},
    status::{AT_RISK, OVERDUE, STALLED, is_finding},
};

/// How many flows are followed by name. Beyond that the memory of a watcher
/// would have no bound; the totals still count them all.
const MAX_FOLLOWED: usize = 20_000;

/// What happened to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowChange {
    /// It is at risk: close to its limit.
    AtRisk,
    /// It passed its limit.
    Overdue,
    /// Its peer no longer answers.
    Stalled,
    /// Something was received again.
    Recovered,
    /// It is gone.
    Closed,
}

/// A flow that is followed.
#[derive(Debug)]
struct Followed {
    sample: FlowSample,
    round: u64,
}

/// State from earlier scans.
#[derive(Debug, Default)]
pub struct Watch {
    followed: HashMap<u64, Followed>,
    round: u64,
    changed: bool,
    /// Scans in a row in which no followed flow changed.
    quiet_rounds: u32,
}

impl Watch {
    /// How many more flows can be followed.
    pub fn room(&self) -> u32 {
        u32::try_from(MAX_FOLLOWED.saturating_sub(self.followed.len())).unwrap_or(0)
    }

    /// Begins a look at all flows, by one scan or more.
    pub const fn begin(&mut self) {
        self.round += 1;
        self.changed = false;
    }

    /// Takes a flow that the scan wrote out; returns what changed.
    pub fn observe(&mut self, sample: &FlowSample) -> Option<FlowChange> {
        let before = self.followed.get(&sample.cookie).map(|followed| followed.sample);
        if is_finding(sample.status) {
            if before.is_none() && self.followed.len() >= MAX_FOLLOWED {
                return None;
            }
            self.followed.insert(sample.cookie, Followed { sample: *sample, round: self.round });
        } else {
            self.followed.remove(&sample.cookie);
        }
        let change = change(before.as_ref(), sample);
        self.changed |= change.is_some();
        change
    }

    /// Whether flows that are followed have not come up since [`Self::begin`].
    pub fn misses_any(&self) -> bool {
        self.followed.values().any(|followed| followed.round != self.round)
    }

    /// Ends a look: flows that were followed and no longer came up are gone.
    pub fn finish(&mut self) -> Vec<FlowSample> {
        let round = self.round;
        let closed: Vec<_> = self
            .followed
            .extract_if(|_, followed| followed.round != round)
            .map(|(_, followed)| followed.sample)
            .collect();
        self.changed |= !closed.is_empty();
        self.quiet_rounds = if self.changed { 0 } else { self.quiet_rounds.saturating_add(1) };
        closed
    }

    /// How long to sleep after a scan that returned `totals`.
    pub fn pause(&self, pace: Pace, totals: &ScanTotals) -> Duration {
        let by_idling = match totals.next_change_ms {
            NEVER => Duration::MAX,
            // A tick beyond, or the flow would still be just below its mark.
            ms => Duration::from_millis(ms) + TICK,
        };
        // A flow opened right after the scan can't be at its mark any sooner.
        let for_new_flows = Duration::from_millis(pace.first_ms.into());
        let for_followed = if self.followed.is_empty() { Duration::MAX } else { self.recheck(pace) };
        by_idling.min(for_new_flows).min(for_followed).max(floor(pace))
    }

    /// Followed flows may recover or close at any time. Looking for that gets
    /// rarer the longer nothing happens.
    fn recheck(&self, pace: Pace) -> Duration {
        let first = floor(pace);
        first.saturating_mul(1 << self.quiet_rounds.min(16))
    }
}

/// The longest tick that kernels have.
const TICK: Duration = Duration::from_millis(10);

/// To this, two samples agree on a moment.
const PRECISION_MS: u64 = 2 * UNIT_NS / 1_000_000;

/// Scans are never closer together than this: a share of the time between
/// mark and limit, so that no flow passes both unseen, and 1 s at most.
fn floor(pace: Pace) -> Duration {
    let margin = Duration::from_millis(pace.margin_ms.into());
    (margin / 4).clamp(Duration::from_millis(50), Duration::from_secs(1))
}

fn change(before: Option<&FlowSample>, now: &FlowSample) -> Option<FlowChange> {
    if before.is_some_and(|before| before.status == now.status) {
        return None;
    }
    match now.status {
        AT_RISK => Some(FlowChange::AtRisk),
        OVERDUE => Some(FlowChange::Overdue),
        STALLED => Some(FlowChange::Stalled),
        // The scan writes out a recovery once; one of a flow that was never reported is not an event. Nor is a flow
        // that is fine only by changed rules.
        _ => before.filter(|before| was_heard_since(before, now)).map(|_| FlowChange::Recovered),
    }
}

/// Whether something was received between two samples, give or take the precision of moments in flow records.
fn was_heard_since(before: &FlowSample, now: &FlowSample) -> bool {
    let heard_at = |sample: &FlowSample| sample.age_ms.saturating_sub(sample.idle_ms);
    heard_at(now) > heard_at(before).saturating_add(PRECISION_MS)
}

#[cfg(test)]
mod tests {
    use injector_common::status::{EXEMPT, LOCAL, PROTECTED};
    use proptest::prelude::*;

    use super::*;

    const PACE: Pace = Pace { first_ms: 280_000, margin_ms: 70_000 };

    /// Findings have been idle ever since, all others were just heard.
    fn sample(cookie: u64, status: u8) -> FlowSample {
        let idle_ms = if is_finding(status) { 300_000 } else { 0 };
        FlowSample { cookie, status, age_ms: 300_000, idle_ms, ..FlowSample::default() }
    }

    fn scan(watch: &mut Watch, flows: &[(u64, u8)]) -> (Vec<(u64, FlowChange)>, Vec<u64>) {
        watch.begin();
        let changes = flows
            .iter()
            .filter_map(|&(cookie, status)| Some((cookie, watch.observe(&sample(cookie, status))?)))
            .collect();
        (changes, watch.finish().iter().map(|sample| sample.cookie).collect())
    }

    #[test]
    fn each_change_of_a_flow_is_reported_once() {
        let mut watch = Watch::default();
        assert_eq!(scan(&mut watch, &[(1, AT_RISK)]), (vec![(1, FlowChange::AtRisk)], vec![]));
        assert_eq!(scan(&mut watch, &[(1, AT_RISK)]), (vec![], vec![]));
        assert_eq!(scan(&mut watch, &[(1, OVERDUE)]), (vec![(1, FlowChange::Overdue)], vec![]));
        assert_eq!(scan(&mut watch, &[(1, PROTECTED)]), (vec![(1, FlowChange::Recovered)], vec![]));
        assert_eq!(scan(&mut watch, &[]), (vec![], vec![]));
    }

    #[test]
    fn only_flows_that_received_something_recover() {
        let idle = |status| FlowSample { status, ..sample(1, OVERDUE) };
        for status in [PROTECTED, LOCAL, EXEMPT] {
            let mut watch = Watch::default();
            scan(&mut watch, &[(1, OVERDUE)]);
            watch.begin();
            let later = FlowSample { age_ms: 310_000, idle_ms: 310_000, ..idle(status) };
            assert_eq!(watch.observe(&later), None, "other rules apply");
            assert!(watch.finish().is_empty(), "it is not closed");
            assert_eq!(scan(&mut watch, &[]), (vec![], vec![]), "nor followed any more");
        }
        let mut watch = Watch::default();
        scan(&mut watch, &[(1, OVERDUE)]);
        let heard = FlowSample { age_ms: 310_000, idle_ms: 9000, ..idle(PROTECTED) };
        assert_eq!(watch.observe(&heard), Some(FlowChange::Recovered));
    }

    #[test]
    fn a_flow_that_no_longer_comes_up_is_closed() {
        let mut watch = Watch::default();
        scan(&mut watch, &[(1, AT_RISK), (2, STALLED)]);
        assert_eq!(scan(&mut watch, &[(2, STALLED)]), (vec![], vec![1]));
        assert_eq!(scan(&mut watch, &[]), (vec![], vec![2]));
    }

    #[test]
    fn what_a_second_scan_comes_upon_is_not_closed() {
        let mut watch = Watch::default();
        scan(&mut watch, &[(1, AT_RISK), (2, AT_RISK)]);
        watch.begin();
        assert_eq!((watch.observe(&sample(1, AT_RISK)), watch.misses_any()), (None, true));
        assert_eq!((watch.observe(&sample(2, OVERDUE)), watch.misses_any()), (Some(FlowChange::Overdue), false));
        assert!(watch.finish().is_empty());
    }

    #[test]
    fn reports_of_an_earlier_watcher_are_not_repeated() {
        assert_eq!(scan(&mut Watch::default(), &[(1, PROTECTED)]), (vec![], vec![]));
    }

    #[test]
    fn memory_has_a_bound() {
        let mut watch = Watch::default();
        watch.begin();
        for cookie in 0..MAX_FOLLOWED as u64 + 10 {
            watch.observe(&sample(cookie, OVERDUE));
        }
        assert_eq!((watch.followed.len(), watch.room()), (MAX_FOLLOWED, 0));
    }

    #[test]
    fn sleeps_until_something_can_happen() {
        let totals = |next_change_ms| ScanTotals { next_change_ms, ..ScanTotals::EMPTY };
        let mut watch = Watch::default();
        scan(&mut watch, &[]);
        assert_eq!(watch.pause(PACE, &totals(NEVER)), Duration::from_secs(280));
        assert_eq!(watch.pause(PACE, &totals(41_000)), Duration::from_millis(41_010));
        assert_eq!(watch.pause(PACE, &totals(3)), Duration::from_secs(1));
    }

    #[test]
    fn looks_after_followed_flows_less_and_less() {
        let mut watch = Watch::default();
        let pauses: Vec<_> = (0..12)
            .map(|_| {
                scan(&mut watch, &[(1, OVERDUE)]);
                watch.pause(PACE, &ScanTotals::EMPTY).as_secs()
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 280, 280, 280]);
    }

    proptest! {
        /// Between mark and limit lies at least one scan.
        #[test]
        fn no_flow_passes_mark_and_limit_unseen(limit_ms in 2000_u32..100_000_000, percent in 1_u64..=95) {
            let warn_ms = u32::try_from(u64::from(limit_ms) * percent / 100).expect("fits");
            let margin_ms = limit_ms - warn_ms;
            let pace = Pace { first_ms: warn_ms, margin_ms };
            prop_assert!(floor(pace) * 2 <= Duration::from_millis(margin_ms.into()));
        }
    }
}
