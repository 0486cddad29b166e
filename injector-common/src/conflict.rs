//! What becomes of an application's own keepalive calls while it is covered.

use crate::{
    keepalive::{FlowPolicy, Keepalive, MAX_IDLE_S, MAX_PROBES},
    stats,
};

/// The application's later call stands.
pub const RESPECT: u32 = 0;
/// A call that would switch keepalive off, or make it slower than the policy,
/// is brought to the policy's value; a faster one stands.
pub const TIGHTEN: u32 = 1;
/// The policy's values always.
pub const ENFORCE: u32 = 2;

/// The value to set in place of `asked`, for an option named by its index in
/// [`stats::OPTION_NAMES`]; `None` lets the call through as it is. So are values
/// that the kernel refuses: the application gets the error it would have got.
#[inline(always)]
pub fn overrule(policy: &FlowPolicy, option: u8, asked: i32) -> Option<i32> {
    let Keepalive { idle_s, interval_s, probes, user_timeout_ms } = policy.keepalive;
    if idle_s == 0 || policy.conflict == RESPECT {
        return None;
    }
    let enforces = policy.conflict == ENFORCE;
    let (ours, valid, replaces) = match option {
        stats::OPTION_KEEPALIVE => return if asked == 0 { Some(1) } else { None },
        stats::OPTION_IDLE => (idle_s, (1, MAX_IDLE_S), true),
        stats::OPTION_INTERVAL => (interval_s, (1, MAX_IDLE_S), true),
        stats::OPTION_PROBES => (probes, (1, MAX_PROBES), enforces),
        // 0 takes a timeout away again.
        _ => (user_timeout_ms, (0, i32::MAX.cast_unsigned()), enforces && user_timeout_ms != 0),
    };
    let (min, max) = valid;
    let is_valid = asked >= min && asked.cast_unsigned() <= max;
    let differs = if enforces { asked.cast_unsigned() != ours } else { asked.cast_unsigned() > ours };
    if replaces && is_valid && differs { Some(ours.cast_signed()) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{OPTION_IDLE, OPTION_INTERVAL, OPTION_KEEPALIVE, OPTION_PROBES, OPTION_USER_TIMEOUT};

    fn policy(conflict: u32) -> FlowPolicy {
        let keepalive = Keepalive { idle_s: 240, interval_s: 30, probes: 9, user_timeout_ms: 0 };
        FlowPolicy { keepalive, limit_ms: 350_000, warn_ms: 280_000, conflict }
    }

    #[test]
    fn calls() {
        let table = [
            // option, asked, tighten, enforce
            (OPTION_KEEPALIVE, 0, Some(1), Some(1)),
            (OPTION_KEEPALIVE, 1, None, None),
            (OPTION_IDLE, 7200, Some(240), Some(240)),
            (OPTION_IDLE, 10, None, Some(240)),
            (OPTION_IDLE, 240, None, None),
            (OPTION_IDLE, 0, None, None),
            (OPTION_IDLE, -1, None, None),
            (OPTION_IDLE, 32_768, None, None),
            (OPTION_INTERVAL, 75, Some(30), Some(30)),
            (OPTION_INTERVAL, 5, None, Some(30)),
            (OPTION_PROBES, 3, None, Some(9)),
            (OPTION_PROBES, 100, None, Some(9)),
            (OPTION_PROBES, 128, None, None),
            (OPTION_USER_TIMEOUT, 5000, None, None),
            (OPTION_USER_TIMEOUT, 0, None, None),
        ];
        for (option, asked, tighten, enforce) in table {
            assert_eq!(overrule(&policy(RESPECT), option, asked), None, "{option} {asked}");
            assert_eq!(overrule(&policy(TIGHTEN), option, asked), tighten, "{option} {asked}");
            assert_eq!(overrule(&policy(ENFORCE), option, asked), enforce, "{option} {asked}");
        }
    }

    #[test]
    fn a_user_timeout_is_enforced_where_there_is_one() {
        let with = |conflict| {
            let mut policy = policy(conflict);
            policy.keepalive.user_timeout_ms = 9000;
            policy
        };
        for (asked, enforced) in [(5000, Some(9000)), (10_000, Some(9000)), (0, Some(9000)), (9000, None), (-1, None)] {
            assert_eq!(overrule(&with(ENFORCE), OPTION_USER_TIMEOUT, asked), enforced, "{asked}");
            assert_eq!(overrule(&with(TIGHTEN), OPTION_USER_TIMEOUT, asked), None, "{asked}");
        }
    }

    #[test]
    fn an_unfilled_policy_lets_all_through() {
        let policy = FlowPolicy { conflict: ENFORCE, ..FlowPolicy::default() };
        assert_eq!(overrule(&policy, OPTION_KEEPALIVE, 0), None);
    }
}
