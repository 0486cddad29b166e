//! Redis has one number: `TCP_KEEPIDLE`, with a third of it as interval and 3
//! probes (`anetKeepAlive` in `src/anet.c`).

use injector_common::{keepalive::MAX_IDLE_S, timer::last_spare_probe_ms};

use super::Limit;
use crate::rules::timing::Timing;

pub(super) fn text(limit: &Limit) -> String {
    let period = period_s(limit.seconds());
    let own = Timing { idle_s: period, interval_s: interval_s(period), probes: 3 };
    let why = limit.served_by(own).keepalive_comment("#");
    format!(
        "\
{why}# Redis has this one number: it probes again after a third of it, and gives a client up after 3 probes.
# So it is less than other programs need, for the last probe to fall below the limit as well.
# Into redis.conf, or `CONFIG SET tcp-keepalive {period}`; it serves clients that connect from then on.
tcp-keepalive {period}
"
    )
}

/// The third probe comes after 5/3 of the number, so half of the limit leaves
/// room for the kernel's timer, which may be late. Short intervals are the
/// kernel's least, 1 s, and need more.
fn period_s(limit_s: u32) -> u32 {
    let end_ms = u64::from(limit_s) * 1000;
    let is_late = |period: &u32| last_spare_probe_ms(*period, interval_s(*period)) >= end_ms;
    let most = (limit_s / 2).clamp(1, MAX_IDLE_S);
    (1..=most).rev().find(|period| !is_late(period)).unwrap_or(1)
}

fn interval_s(period_s: u32) -> u32 {
    (period_s / 3).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number() {
        let table = [(2, 1), (4, 1), (5, 2), (6, 3), (7, 3), (60, 30), (350, 175), (432_000, 32_767)];
        for (limit_s, period) in table {
            assert_eq!(period_s(limit_s), period, "{limit_s} s");
        }
    }
}
