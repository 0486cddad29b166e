//! How an application's own keepalive calls are treated while it is covered.

use crate::{
    applied::{Applied, LEFT_ALONE, NESTED, SWITCHED_ON},
    keepalive::{FlowPolicy, Keepalive, MAX_IDLE_S, MAX_PROBES},
    stats,
    timer::{fitted, is_too_short},
};

/// The application's later call stands.
pub const RESPECT: u32 = 0;
/// A call that would switch keepalive off, or make it slower than the policy,
/// is brought to the policy's value; a faster one stands.
pub const TIGHTEN: u32 = 1;
/// The policy's values always.
pub const ENFORCE: u32 = 2;

/// The policy that calls on a socket must meet; `None` where they all stand. `user_timeout_ms` is the effective one, 0
/// for none.
#[inline(always)]
pub fn policy_of(policy: &FlowPolicy, applied: &Applied, user_timeout_ms: u32) -> Option<FlowPolicy> {
    if policy.keepalive.idle_s == 0 || policy.conflict == RESPECT {
        return None;
    }
    let replaces = policy.conflict == ENFORCE && policy.keepalive.user_timeout_ms != 0;
    let user_timeout_ms = if replaces { 0 } else { user_timeout_ms };
    if is_too_short(user_timeout_ms) {
        return None;
    }
    let mut policy = *policy;
    if applied.has(NESTED) {
        policy.keepalive = policy.keepalive.no_slower_than(&applied.keepalive());
    }
    policy.keepalive = fitted(&policy.keepalive, user_timeout_ms);
    Some(policy)
}

/// What goes with a `TCP_USER_TIMEOUT` that an application sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refit {
    /// All stays as it is.
    Nothing,
    /// These times have room in it; what is off is switched on.
    Set {
        /// To be set.
        keepalive: Keepalive,
        /// The same for the time after this user timeout.
        unfitted: Keepalive,
    },
    /// No times have, and the application had not switched keepalive on.
    SwitchOff,
}

/// Fits keepalive into a user timeout of `user_timeout_ms`, or back into none,
/// on a socket that has the times of `effective`.
#[inline(always)]
pub fn refit(
    policy: &FlowPolicy,
    applied: &Applied,
    enabled: bool,
    effective: &Keepalive,
    user_timeout_ms: u32,
) -> Refit {
    if policy.keepalive.idle_s == 0 || policy.conflict == RESPECT {
        return Refit::Nothing;
    }
    if is_too_short(user_timeout_ms) {
        return if enabled && applied.has(SWITCHED_ON) { Refit::SwitchOff } else { Refit::Nothing };
    }
    if !enabled && !applied.has(LEFT_ALONE) {
        return Refit::Nothing;
    }
    let ours = applied.keepalive();
    let is_ours = !enabled || ours.idle_s == effective.idle_s && ours.interval_s == effective.interval_s;
    let mut unfitted = if is_ours {
        // What an earlier user timeout had shortened comes back.
        Keepalive {
            idle_s: applied.unfitted_idle_s.into(),
            interval_s: applied.unfitted_interval_s.into(),
            ..policy.keepalive
        }
    } else {
        policy.keepalive.no_slower_than(effective)
    };
    unfitted.probes = if enabled { effective.probes } else { unfitted.probes };
    unfitted.user_timeout_ms = 0;
    let keepalive = fitted(&unfitted, user_timeout_ms);
    let is_there = enabled && keepalive.idle_s == effective.idle_s && keepalive.interval_s == effective.interval_s;
    if is_there || keepalive.idle_s == 0 { Refit::Nothing } else { Refit::Set { keepalive, unfitted } }
}

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
    use crate::{
        applied::GUARDED,
        stats::{OPTION_IDLE, OPTION_INTERVAL, OPTION_KEEPALIVE, OPTION_PROBES, OPTION_USER_TIMEOUT},
    };

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

    fn times(idle_s: u32, interval_s: u32) -> Keepalive {
        Keepalive { idle_s, interval_s, probes: 9, user_timeout_ms: 0 }
    }

    #[test]
    fn the_policy_of_calls() {
        let nested = Applied::new(&times(41, 5), &times(41, 5), NESTED);
        let alone = Applied::new(&times(41, 5), &times(41, 5), GUARDED);
        let table = [
            ("as it is", alone, 0, Some((240, 30))),
            ("other rules count, too", nested, 0, Some((41, 5))),
            ("a user timeout", alone, 20_000, Some((5, 5))),
            ("both", nested, 100_000, Some((25, 5))),
            ("no room", nested, 19_999, None),
        ];
        for (case, applied, user_timeout_ms, expected) in table {
            for conflict in [TIGHTEN, ENFORCE] {
                let found = policy_of(&policy(conflict), &applied, user_timeout_ms);
                let found = found.map(|policy| (policy.keepalive.idle_s, policy.keepalive.interval_s));
                assert_eq!(found, expected, "{case}, {conflict}");
            }
            assert_eq!(policy_of(&policy(RESPECT), &applied, user_timeout_ms), None, "{case}");
        }
        let mut own = policy(ENFORCE);
        own.keepalive.user_timeout_ms = 400_000;
        assert_eq!(
            policy_of(&own, &alone, 5).map(|policy| policy.keepalive.idle_s),
            Some(240),
            "replaces the short one"
        );
        own.conflict = TIGHTEN;
        assert_eq!(policy_of(&own, &alone, 5), None);
    }

    #[test]
    fn user_timeouts_that_come_and_go() {
        let (usual, fit, slow) = (times(240, 30), times(5, 5), times(7200, 75));
        let applied = |set, marks| Applied::new(set, &usual, marks);
        let ours = applied(&usual, SWITCHED_ON);
        let shortened = applied(&fit, SWITCHED_ON);
        let own = applied(&usual, 0);
        let alone = applied(&times(0, 0), LEFT_ALONE);
        let respected = Applied::new(&times(0, 0), &times(0, 0), 0);
        let set = |keepalive, unfitted| Refit::Set { keepalive, unfitted };
        let table = [
            ("comes", ours, true, usual, 20_000, set(fit, usual)),
            ("comes where the application tightened", ours, true, times(60, 4), 20_000, set(times(5, 4), times(60, 4))),
            (
                "comes where the application is respected",
                respected,
                true,
                times(60, 20),
                40_000,
                set(times(10, 10), times(60, 20)),
            ),
            ("comes where all fits", ours, true, times(3, 3), 20_000, Refit::Nothing),
            ("is long", ours, true, usual, 960_000, Refit::Nothing),
            ("goes", shortened, true, fit, 0, set(usual, usual)),
            ("grows", shortened, true, fit, 40_000, set(times(10, 10), usual)),
            ("goes where the application set its own", shortened, true, times(4, 4), 0, Refit::Nothing),
            ("is too short, and we switched it on", ours, true, usual, 19_999, Refit::SwitchOff),
            ("is too short beside an own keepalive", own, true, usual, 19_999, Refit::Nothing),
            ("is too short beside none", alone, false, slow, 5, Refit::Nothing),
            ("is no longer too short", alone, false, slow, 20_000, set(fit, usual)),
            ("is removed, and nothing else conflicts", alone, false, slow, 0, set(usual, usual)),
            ("comes where keepalive is off", ours, false, slow, 20_000, Refit::Nothing),
        ];
        for (case, applied, enabled, effective, user_timeout_ms, expected) in table {
            for conflict in [TIGHTEN, ENFORCE] {
                let found = refit(&policy(conflict), &applied, enabled, &effective, user_timeout_ms);
                assert_eq!(found, expected, "{case}");
            }
            let respect = refit(&policy(RESPECT), &applied, enabled, &effective, user_timeout_ms);
            assert_eq!(respect, Refit::Nothing, "{case}");
        }
    }

    #[test]
    fn probes_stay_what_they_are() {
        let applied = Applied::new(&times(240, 30), &times(240, 30), 0);
        let effective = Keepalive { probes: 3, ..times(240, 30) };
        let expected = Refit::Set { keepalive: Keepalive { probes: 3, ..times(5, 5) }, unfitted: effective };
        assert_eq!(refit(&policy(TIGHTEN), &applied, true, &effective, 20_000), expected);
    }
}
