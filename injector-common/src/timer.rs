//! When the kernel's keepalive timer fires, and what follows for the idle
//! time on the wire. The one place that knows about its delay.
//!
//! The timer sits in the timer wheel (`kernel/time/timer.c`), which rounds up
//! to the granule of the level that a delay falls into. Level n takes delays
//! from 63 x 8^(n-1) ticks on, in granules of 8^n ticks, so a timer fires up
//! to 8/63 of its delay late, a little more than an eighth. On Linux 6.18 with
//! 250 ticks a second 30 of 40 timers of 340 s fired after more than 350 s.

use crate::keepalive::{Keepalive, MAX_IDLE_S};

/// A tick of the slowest kernels (`CONFIG_HZ=100`), in milliseconds: a timer
/// counts from the tick that has begun.
const TICK_MS: u64 = 10;
/// Granule and least delay of a level, in its own granules.
const GRANULE: u64 = 8;
const LEAST_DELAY: u64 = 63;

/// Probes of which at least one must come through, and so the number that has
/// to fit below a limit and into a `TCP_USER_TIMEOUT`.
pub const SPARE_PROBES: u32 = 3;

/// A shorter `TCP_USER_TIMEOUT` has no room for [`SPARE_PROBES`] that are
/// seconds apart, and says that the application watches the connection itself.
/// In milliseconds; gRPC's default is this one.
pub const MIN_USER_TIMEOUT_MS: u32 = 20_000;

/// Latest moment at which a keepalive timer that was set to `seconds` fires,
/// in milliseconds.
#[inline(always)]
pub const fn latest_ms(seconds: u32) -> u64 {
    let ms = seconds as u64 * 1000;
    ms + ms * GRANULE / LEAST_DELAY + TICK_MS
}

/// Longest idle time that keepalive leaves on the wire, in milliseconds.
///
/// The interval counts as much as the idle time: once a probe is out, the
/// kernel looks again only after the interval, even where the probe was
/// answered at once (`tcp_keepalive_timer` in `net/ipv4/tcp_timer.c`).
#[inline(always)]
pub const fn longest_idle_ms(idle_s: u32, interval_s: u32) -> u64 {
    latest_ms(if idle_s > interval_s { idle_s } else { interval_s })
}

/// Longest `TCP_KEEPIDLE` whose probe goes out before `limit_ms`, in seconds;
/// 0 where there is none.
pub fn longest_below_s(limit_ms: u64) -> u32 {
    let undelayed = limit_ms.saturating_sub(TICK_MS + 1) * LEAST_DELAY / (LEAST_DELAY + GRANULE) / 1000;
    let mut seconds = u32::try_from(undelayed).unwrap_or(MAX_IDLE_S).min(MAX_IDLE_S);
    // Both sides round down.
    if seconds < MAX_IDLE_S && latest_ms(seconds + 1) < limit_ms {
        seconds += 1;
    }
    seconds
}

/// How many probes are sent before `limit_ms` without an answer, however late
/// the timer.
pub fn probes_below(limit_ms: u64, idle_s: u32, interval_s: u32, probes: u32) -> u32 {
    let first = latest_ms(idle_s);
    if first >= limit_ms {
        return 0;
    }
    let fitting = 1 + (limit_ms - 1 - first) / latest_ms(interval_s);
    u32::try_from(fitting).unwrap_or(u32::MAX).min(probes)
}

/// When the last of [`SPARE_PROBES`] goes out at the latest, in milliseconds:
/// a `TCP_USER_TIMEOUT` must be longer.
#[inline(always)]
pub const fn last_spare_probe_ms(idle_s: u32, interval_s: u32) -> u64 {
    latest_ms(idle_s) + (SPARE_PROBES as u64 - 1) * latest_ms(interval_s)
}

/// Whether [`SPARE_PROBES`] go out before the kernel gives the connection up
/// by its user timeout, which counts the idle time before the first probe.
#[inline(always)]
pub const fn fits_user_timeout(keepalive: &Keepalive) -> bool {
    keepalive.user_timeout_ms == 0
        || last_spare_probe_ms(keepalive.idle_s, keepalive.interval_s) < keepalive.user_timeout_ms as u64
}

/// Whether a connection with `keepalive` lives on when one probe, or its
/// answer, is lost. With a user timeout the kernel gives up as soon as that
/// has passed and one probe is unanswered, however many `probes` there are.
#[inline(always)]
pub const fn survives_a_lost_probe(keepalive: &Keepalive) -> bool {
    if keepalive.user_timeout_ms == 0 {
        return keepalive.probes > 1;
    }
    latest_ms(keepalive.idle_s) + latest_ms(keepalive.interval_s) < keepalive.user_timeout_ms as u64
}

/// `keepalive` fitted into a user timeout of [`MIN_USER_TIMEOUT_MS`] or more;
/// 0 stands for none. A quarter for each time leaves room for
/// [`SPARE_PROBES`], however late the timer.
#[inline(always)]
pub const fn fitted(keepalive: &Keepalive, user_timeout_ms: u32) -> Keepalive {
    let mut keepalive = *keepalive;
    let most_s = user_timeout_ms / (SPARE_PROBES + 1) / 1000;
    if most_s != 0 && keepalive.idle_s > most_s {
        keepalive.idle_s = most_s;
    }
    if most_s != 0 && keepalive.interval_s > most_s {
        keepalive.interval_s = most_s;
    }
    keepalive
}

/// Whether a user timeout leaves no room for keepalive.
#[inline(always)]
pub const fn is_too_short(user_timeout_ms: u32) -> bool {
    user_timeout_ms != 0 && user_timeout_ms < MIN_USER_TIMEOUT_MS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keepalive(idle_s: u32, interval_s: u32, probes: u32, user_timeout_ms: u32) -> Keepalive {
        Keepalive { idle_s, interval_s, probes, user_timeout_ms }
    }

    /// When a timer fires, as `calc_wheel_index` has it: in ticks after it was set at `now`.
    fn wheel(now: u64, delay: u64) -> u64 {
        let expires = now + delay;
        let level = (0..8).find(|level| delay < 63 << (3 * level)).unwrap_or(8);
        let granule = 1 << (3 * level);
        (expires + granule) / granule * granule - now
    }

    #[test]
    fn known_delays() {
        let table = [(0, 10), (1, 1136), (59, 66_502), (240, 270_486), (310, 349_375), (311, 350_502), (340, 383_184)];
        for (seconds, ms) in table {
            assert_eq!(latest_ms(seconds), ms, "{seconds} s");
        }
        assert_eq!((longest_idle_ms(240, 30), longest_idle_ms(30, 240)), (270_486, 270_486));
    }

    #[test]
    fn longest_that_serve() {
        let table = [
            (0, 0),
            (1000, 0),
            (1136, 0),
            (1137, 1),
            (2000, 1),
            (60_000, 53),
            (350_000, 310),
            (u64::MAX / 100, MAX_IDLE_S),
        ];
        for (limit_ms, seconds) in table {
            assert_eq!(longest_below_s(limit_ms), seconds, "{limit_ms} ms");
        }
    }

    #[test]
    fn probes_that_fit() {
        let table = [
            ((350_000, 240, 30, 9), 3),
            ((350_000, 240, 30, 2), 2),
            ((350_000, 310, 30, 9), 1),
            ((350_000, 311, 30, 9), 0),
            ((60_000, 59, 5, 9), 0),
            ((60_000, 41, 5, 9), 3),
            ((4_000, 1, 1, 9), 3),
            ((3_410, 1, 1, 9), 3),
            ((3_409, 1, 1, 9), 3),
            ((3_408, 1, 1, 9), 2),
            ((2_000, 1, 1, 9), 1),
        ];
        for ((limit_ms, idle_s, interval_s, probes), expected) in table {
            assert_eq!(probes_below(limit_ms, idle_s, interval_s, probes), expected, "{limit_ms} ms, {idle_s} s");
        }
    }

    #[test]
    fn what_one_lost_probe_does() {
        let table = [
            (keepalive(240, 30, 9, 0), true),
            (keepalive(240, 30, 2, 0), true),
            (keepalive(240, 30, 1, 0), false),
            // gRPC's user timeout beside our times, and beside those fitted into it.
            (keepalive(240, 30, 9, 20_000), false),
            (keepalive(5, 5, 9, 20_000), true),
            // Probes don't count where there is a user timeout.
            (keepalive(5, 5, 1, 20_000), true),
            (keepalive(10, 1, 9, 12_415), false),
            (keepalive(10, 1, 9, 12_416), true),
        ];
        for (keepalive, expected) in table {
            assert_eq!(survives_a_lost_probe(&keepalive), expected, "{keepalive:?}");
        }
    }

    #[test]
    fn what_fits_a_user_timeout() {
        let table = [
            (keepalive(240, 30, 9, 0), true),
            (keepalive(240, 30, 9, 338_000), false),
            (keepalive(240, 30, 9, 338_124), false),
            (keepalive(240, 30, 9, 338_125), true),
            (keepalive(5, 5, 9, 20_000), true),
        ];
        for (keepalive, expected) in table {
            assert_eq!(fits_user_timeout(&keepalive), expected, "{keepalive:?}");
        }
        for (ms, expected) in [(0, false), (1, true), (19_999, true), (20_000, false)] {
            assert_eq!(is_too_short(ms), expected, "{ms} ms");
        }
    }

    #[test]
    fn fitting() {
        let ours = keepalive(240, 30, 9, 0);
        let table = [
            (0, (240, 30)),
            (20_000, (5, 5)),
            (23_999, (5, 5)),
            (100_000, (25, 25)),
            (200_000, (50, 30)),
            (960_000, (240, 30)),
        ];
        for (user_timeout_ms, times) in table {
            let fitted = fitted(&ours, user_timeout_ms);
            assert_eq!((fitted.idle_s, fitted.interval_s), times, "{user_timeout_ms} ms");
            assert_eq!((fitted.probes, fitted.user_timeout_ms), (9, 0));
        }
    }

    proptest! {
        /// The kernel's own arithmetic, at every tick rate and wherever its clock stands.
        #[test]
        fn no_timer_fires_later(rate in prop::sample::select(&[100_u64, 250, 300, 1000][..]), seconds in 1..=MAX_IDLE_S, now in 0_u64..1 << 40) {
            let ticks = wheel(now, u64::from(seconds) * rate);
            prop_assert!(ticks * 1000 / rate <= latest_ms(seconds), "{} ticks at {} Hz", ticks, rate);
        }

        #[test]
        fn three_probes_fit_once_fitted(idle in 1..=MAX_IDLE_S, interval in 1..=MAX_IDLE_S, ms in MIN_USER_TIMEOUT_MS..=i32::MAX.cast_unsigned()) {
            let fitted = Keepalive { user_timeout_ms: ms, ..fitted(&keepalive(idle, interval, 9, 0), ms) };
            prop_assert!(fits_user_timeout(&fitted) && survives_a_lost_probe(&fitted));
            prop_assert!(fitted.idle_s >= 1 && fitted.interval_s >= 1);
            prop_assert!(fitted.idle_s <= idle && fitted.interval_s <= interval);
        }

        #[test]
        fn the_longest_that_serves_is_the_longest(limit_ms in 0_u64..40_000_000) {
            let longest = longest_below_s(limit_ms);
            prop_assert!(longest == 0 || latest_ms(longest) < limit_ms);
            prop_assert!(longest == MAX_IDLE_S || latest_ms(longest + 1) >= limit_ms);
        }
    }
}
