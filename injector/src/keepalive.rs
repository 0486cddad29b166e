//! Deriving keepalive parameters from the idle timeout they must beat.

use injector_common::keepalive::{DEFAULT_PROBES, MAX_IDLE_S};

/// Shortest idle timeout that keepalive can serve: the kernel counts in whole
/// seconds, and one probe must fall below the limit.
pub const MIN_LIMIT_S: u32 = 2;

/// Probe times that a limit leads to, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// `TCP_KEEPIDLE`.
    pub idle_s: u32,
    /// `TCP_KEEPINTVL`.
    pub interval_s: u32,
    /// `TCP_KEEPCNT`.
    pub probes: u32,
}

/// Derives timing from a limit in seconds, at least [`MIN_LIMIT_S`].
///
/// AWS recommends a first probe at 240 s where the limit is 350 s ("Best
/// Practices for TCP Connection Management on EC2"); other limits scale.
/// Probes can be lost, so three of them fall below any limit that has the
/// room (4 s and more). Their number stays at the kernel's own 9: it decides
/// how long an outage a connection survives, which is not ours to shorten.
/// Idle and interval end at the kernel's 32,767 s.
pub fn derive(limit_s: u32) -> Timing {
    let share = |of_350: u64| u32::try_from(u64::from(limit_s) * of_350 / 350).unwrap_or(MAX_IDLE_S);
    let interval_s = share(30).clamp(1, MAX_IDLE_S);
    let three_fit_s = limit_s.saturating_sub(1 + 2 * interval_s);
    let idle_s = share(240).min(three_fit_s).clamp(1, MAX_IDLE_S);
    Timing { idle_s, interval_s, probes: DEFAULT_PROBES }
}

/// How many probes are sent before `limit_ms` of silence.
pub fn probes_below(limit_ms: u32, idle_s: u32, interval_s: u32, probes: u32) -> u32 {
    let (limit, idle) = (u64::from(limit_ms), u64::from(idle_s) * 1000);
    if idle >= limit {
        return 0;
    }
    let interval = u64::from(interval_s.max(1)) * 1000;
    let fitting = 1 + (limit - 1 - idle) / interval;
    probes.min(u32::try_from(fitting).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_limits() {
        let table = [
            (2, 1, 1),
            (3, 1, 1),
            (4, 1, 1),
            (10, 6, 1),
            (60, 41, 5),
            (350, 240, 30),
            (900, 617, 77),
            (6000, 4114, 514),
            (432_000, 32_767, 32_767),
        ];
        for (limit_s, idle_s, interval_s) in table {
            assert_eq!(derive(limit_s), Timing { idle_s, interval_s, probes: 9 }, "{limit_s} s");
        }
    }

    #[test]
    fn probes_that_fit() {
        let table = [
            ((350_000, 240, 30, 9), 4),
            ((350_000, 240, 30, 2), 2),
            ((350_000, 349, 30, 9), 1),
            ((350_000, 350, 30, 9), 0),
            ((4_000, 1, 1, 9), 3),
            ((2_000, 1, 1, 9), 1),
        ];
        for ((limit_ms, idle_s, interval_s, probes), expected) in table {
            assert_eq!(probes_below(limit_ms, idle_s, interval_s, probes), expected, "{limit_ms} ms, {idle_s} s");
        }
    }

    proptest! {
        #[test]
        fn the_first_probe_comes_in_time(limit_s in MIN_LIMIT_S..4_000_000) {
            let timing = derive(limit_s);
            prop_assert!(timing.idle_s >= 1 && timing.idle_s < limit_s);
            prop_assert!(timing.interval_s >= 1 && timing.interval_s <= timing.idle_s);
            prop_assert!(timing.idle_s <= MAX_IDLE_S && timing.interval_s <= MAX_IDLE_S);
        }

        #[test]
        fn three_probes_come_in_time(limit_s in 4_u32..4_000_000) {
            let Timing { idle_s, interval_s, probes } = derive(limit_s);
            prop_assert!(probes_below(limit_s * 1000, idle_s, interval_s, probes) >= 3);
        }

        #[test]
        fn a_longer_limit_never_probes_sooner(limit_s in MIN_LIMIT_S..4_000_000) {
            prop_assert!(derive(limit_s).idle_s <= derive(limit_s + 1).idle_s + 2);
        }
    }
}
