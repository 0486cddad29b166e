//! A limit on log lines of the same kind.

use std::time::{Duration, Instant};

/// Lines in each window.
const LINES: u32 = 20;
/// Length of a window.
const WINDOW: Duration = Duration::from_secs(10);

/// Admits so many in each window of time, and counts the rest.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    since: Option<Instant>,
    logged: u32,
    held: u64,
}

impl Limiter {
    /// Whether one more may be logged at `now`.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= WINDOW) {
            self.since = Some(now);
            self.logged = 0;
        }
        if self.logged < LINES {
            self.logged += 1;
            true
        } else {
            self.held += 1;
            false
        }
    }

    /// How many were suppressed, once their window is over.
    pub(super) fn held_back(&mut self, now: Instant) -> Option<u64> {
        let is_over = self.since.is_some_and(|since| now.saturating_duration_since(since) >= WINDOW);
        (is_over && self.held > 0).then(|| std::mem::take(&mut self.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_an_end() {
        let start = Instant::now();
        let mut limiter = Limiter::default();
        let admitted = |limiter: &mut Limiter, at| (0..50).filter(|_| limiter.admits(at)).count();
        assert_eq!(admitted(&mut limiter, start), 20);
        assert_eq!(limiter.held_back(start), None);
        assert_eq!(limiter.held_back(start + WINDOW), Some(30));
        assert_eq!(limiter.held_back(start + WINDOW), None);
        assert_eq!(admitted(&mut limiter, start + WINDOW), 20);
    }
}
