//! Redis has one number: `TCP_KEEPIDLE`, with a third of it as interval and 3
//! probes (`anetKeepAlive` in `src/anet.c`).

use injector_common::keepalive::MAX_IDLE_S;

use super::Limit;
use crate::rules::timing::Timing;

pub(super) fn text(limit: &Limit) -> String {
    let period = period_s(limit.seconds());
    let own = Timing { idle_s: period, interval_s: (period / 3).max(1), probes: 3 };
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

/// The third probe comes after 5/3 of the number, so 4/7 of the limit leaves a
/// margin of a twentieth. Below 7 s the interval is the kernel's least, 1 s.
fn period_s(limit_s: u32) -> u32 {
    let share = u32::try_from(u64::from(limit_s) * 4 / 7).unwrap_or(MAX_IDLE_S);
    share.min(limit_s.saturating_sub(3)).clamp(1, MAX_IDLE_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number() {
        let table = [(2, 1), (4, 1), (5, 2), (6, 3), (7, 4), (60, 34), (350, 200), (432_000, 32_767)];
        for (limit_s, period) in table {
            assert_eq!(period_s(limit_s), period, "{limit_s} s");
        }
    }
}
