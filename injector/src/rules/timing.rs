//! Deriving keepalive parameters from the idle timeout they must beat.

use std::{
    fmt::{self, Display, Formatter},
    time::Duration,
};

use injector_common::{
    keepalive::{DEFAULT_PROBES, MAX_IDLE_S},
    timer::{SPARE_PROBES, latest_ms, longest_below_s, probes_below},
};
use serde::Serialize;
use thiserror::Error;

use crate::{
    hop::{MAX_LIMIT, MIN_LIMIT, MIN_LIMIT_S},
    units::exact,
};

/// A limit that keepalive can't serve, and why.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum Unserved {
    /// No probe can fall below it.
    #[error("{} is too short: the kernel probes after 1s at the earliest, so the limit must be {MIN_LIMIT_S}s or more", exact(*.0))]
    TooShort(Duration),
    /// Its milliseconds don't fit into 32 bits.
    #[error("{}s is too long: limits are counted in 32 bits of milliseconds, at most {}s (49 days)", .0.as_secs(), MAX_LIMIT.as_secs())]
    TooLong(Duration),
}

/// Keepalive derived from a limit, with remarks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Derivation {
    /// The parameters.
    pub timing: Timing,
    /// Probes that are sent before the limit.
    pub probes_below: u32,
    /// Remarks.
    pub caveats: Vec<Caveat>,
}

/// Why derived parameters are not the usual share of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caveat {
    /// Fewer than three probes fall below the limit.
    FewProbes(u32),
    /// The kernel takes no longer times.
    Capped,
}

/// Probe times that a limit leads to, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct Timing {
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
/// room (4 s and more), however late the kernel's timer fires. Their number
/// stays at the kernel's own 9: it decides
/// how long an outage a connection survives, which is not ours to shorten.
/// Idle and interval end at the kernel's 32,767 s.
pub(crate) fn derive(limit_s: u32) -> Timing {
    let share = |of_350: u64| u32::try_from(u64::from(limit_s) * of_350 / 350).unwrap_or(MAX_IDLE_S);
    let interval_s = share(30).clamp(1, MAX_IDLE_S);
    let after_first_ms = u64::from(SPARE_PROBES - 1) * latest_ms(interval_s);
    let three_fit_s = longest_below_s((u64::from(limit_s) * 1000).saturating_sub(after_first_ms));
    let idle_s = share(240).min(three_fit_s).clamp(1, MAX_IDLE_S);
    Timing { idle_s, interval_s, probes: DEFAULT_PROBES }
}

/// Derives timing from any limit, with remarks.
///
/// Errors where the limit is below [`MIN_LIMIT`] or above [`MAX_LIMIT`].
/// A fraction of a second is cut off, so probes come early, never late.
pub(crate) fn derive_with_reasons(limit: Duration) -> Result<Derivation, Unserved> {
    if limit < MIN_LIMIT {
        return Err(Unserved::TooShort(limit));
    }
    let limit_ms = u32::try_from(limit.as_millis()).ok().filter(|_| limit <= MAX_LIMIT);
    let limit_ms = limit_ms.ok_or(Unserved::TooLong(limit))?;
    let timing = derive(limit_ms / 1000);
    let probes_below = probes_below(limit_ms.into(), timing.idle_s, timing.interval_s, timing.probes);
    let few = (probes_below < SPARE_PROBES).then_some(Caveat::FewProbes(probes_below));
    let capped = (timing.idle_s == MAX_IDLE_S).then_some(Caveat::Capped);
    Ok(Derivation { timing, probes_below, caveats: few.into_iter().chain(capped).collect() })
}

/// `240/30/9`: idle, interval, probes.
impl Display for Timing {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.idle_s, self.interval_s, self.probes)
    }
}

impl Display for Caveat {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::FewProbes(1) => {
                formatter.write_str("only 1 probe falls below the limit: if it is lost, so is the flow")
            }
            Self::FewProbes(count) => write!(formatter, "only {count} probes fall below the limit"),
            Self::Capped => {
                write!(formatter, "the first probe comes after {MAX_IDLE_S}s, the longest that the kernel takes")
            }
        }
    }
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
    fn reasons() {
        let table = [
            (2_000, Ok((1, "1/1/9", vec![Caveat::FewProbes(1)]))),
            (3_999, Ok((3, "1/1/9", vec![]))),
            (60_000, Ok((3, "41/5/9", vec![]))),
            (350_000, Ok((3, "240/30/9", vec![]))),
            (350_999, Ok((3, "240/30/9", vec![]))),
            (86_400_000, Ok((6, "32767/7405/9", vec![Caveat::Capped]))),
            (1_999, Err("1999ms is too short: the kernel probes after 1s at the earliest")),
            (0, Err("0s is too short")),
            (
                50 * 86_400_000,
                Err("4320000s is too long: limits are counted in 32 bits of milliseconds, at most 4233600s"),
            ),
        ];
        for (limit_ms, expected) in table {
            let found = derive_with_reasons(Duration::from_millis(limit_ms));
            match (found, expected) {
                (Ok(found), Ok((below, timing, caveats))) => {
                    let found = (found.probes_below, found.timing.to_string(), found.caveats);
                    assert_eq!(found, (below, timing.to_owned(), caveats), "{limit_ms} ms");
                }
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (found, _) => panic!("{limit_ms} ms: {found:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn the_first_probe_comes_in_time(limit_s in MIN_LIMIT_S..4_000_000) {
            let timing = derive(limit_s);
            prop_assert!(timing.idle_s >= 1 && latest_ms(timing.idle_s) < u64::from(limit_s) * 1000);
            prop_assert!(timing.interval_s >= 1 && timing.interval_s <= timing.idle_s);
            prop_assert!(timing.idle_s <= MAX_IDLE_S && timing.interval_s <= MAX_IDLE_S);
        }

        #[test]
        fn three_probes_come_in_time(limit_s in 4_u32..4_000_000) {
            let Timing { idle_s, interval_s, probes } = derive(limit_s);
            prop_assert!(probes_below(u64::from(limit_s) * 1000, idle_s, interval_s, probes) >= 3);
        }

        #[test]
        fn every_limit_is_served_or_refused(limit_ms in 0_u64..5_000_000_000) {
            let limit = Duration::from_millis(limit_ms);
            match derive_with_reasons(limit) {
                Ok(found) => {
                    prop_assert!((MIN_LIMIT..=MAX_LIMIT).contains(&limit));
                    prop_assert!(latest_ms(found.timing.idle_s.max(found.timing.interval_s)) < limit_ms);
                    prop_assert_eq!(found.probes_below < 3, found.caveats.iter().any(|one| matches!(one, Caveat::FewProbes(_))));
                    prop_assert!(limit_ms < 60_000 || found.probes_below >= 3);
                }
                Err(Unserved::TooShort(_)) => prop_assert!(limit < MIN_LIMIT),
                Err(Unserved::TooLong(_)) => prop_assert!(limit > MAX_LIMIT),
            }
        }

        #[test]
        fn a_longer_limit_never_probes_sooner(limit_s in MIN_LIMIT_S..4_000_000) {
            prop_assert!(derive(limit_s).idle_s <= derive(limit_s + 1).idle_s + 2);
        }
    }
}
