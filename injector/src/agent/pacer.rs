//! Limits how often the watch loop does work that other processes can cause: creating and removing cgroups makes it
//! look, and replace rules.

use std::time::{Duration, Instant};

/// Each run is followed by a pause of so many times its length: so it takes a tenth of a processor at most, and the
/// pauses grow with the cost.
const SHARE: u32 = 9;
/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(10);

/// When something may be done again.
#[derive(Debug)]
pub(super) struct Pacer {
    again: Instant,
}

impl Pacer {
    /// At once.
    pub(super) const fn new(now: Instant) -> Self {
        Self { again: now }
    }

    /// The first moment from `now` on at which it may be done.
    pub(super) fn earliest(&self, now: Instant) -> Instant {
        self.again.max(now)
    }

    /// It was done, and took from `start` until `end`.
    pub(super) fn done(&mut self, start: Instant, end: Instant) {
        self.again = end + end.saturating_duration_since(start).saturating_mul(SHARE).min(LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_what_it_costs() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        assert_eq!(pacer.earliest(start), start);
        for (took_ms, pause_ms) in [(2, 18), (100, 900), (1_000, 9_000), (60_000, 10_000)] {
            let end = start + Duration::from_millis(took_ms);
            pacer.done(start, end);
            assert_eq!(pacer.earliest(end), end + Duration::from_millis(pause_ms));
            let later = end + LONGEST;
            assert_eq!(pacer.earliest(later), later, "a pause has an end");
        }
    }

    #[test]
    fn a_storm_gets_a_tenth_of_the_time() {
        let (start, cost) = (Instant::now(), Duration::from_millis(50));
        let (mut now, mut pacer, mut spent) = (start, Pacer::new(start), Duration::ZERO);
        while now < start + Duration::from_secs(60) {
            let begun = pacer.earliest(now);
            now = begun + cost;
            pacer.done(begun, now);
            spent += cost;
        }
        assert!(spent <= Duration::from_millis(6_050), "{spent:?}");
    }
}
