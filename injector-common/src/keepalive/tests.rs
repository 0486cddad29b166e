use proptest::prelude::*;

use super::*;
use crate::{
    conflict::{RESPECT, TIGHTEN},
    timer::{MIN_USER_TIMEOUT_MS, latest_ms, survives_a_lost_probe},
};

const POLICY: FlowPolicy = FlowPolicy {
    keepalive: Keepalive { idle_s: 240, interval_s: 30, probes: 9, user_timeout_ms: 0 },
    limit_ms: 350_000,
    warn_ms: 280_000,
    conflict: RESPECT,
};

const LINUX: Sysctl = Sysctl { idle_s: 7200, interval_s: 75, probes: 9 };
const TUNED: Sysctl = Sysctl { idle_s: 200, interval_s: 75, probes: 9 };

fn own(enabled: bool, idle_s: u32, interval_s: u32, probes: u32) -> Own {
    Own { enabled, idle_s, interval_s, probes, user_timeout_ms: 0 }
}

fn keepalive(idle_s: u32, interval_s: u32, probes: u32) -> Keepalive {
    Keepalive { idle_s, interval_s, probes, user_timeout_ms: 0 }
}

fn choose(policy: &FlowPolicy, own: &Own, sysctl: &Sysctl, is_nested: bool) -> Action {
    super::choose(policy, own, sysctl, is_nested, &unfitted(policy, own, sysctl, is_nested))
}

fn chosen(own: &Own, sysctl: &Sysctl) -> Action {
    choose(&POLICY, own, sysctl, false)
}

#[test]
fn choices() {
    let table = [
        ("nothing chosen", own(false, 0, 0, 0), LINUX, Action::Inject(POLICY.keepalive)),
        ("on and early enough", own(true, 60, 0, 0), LINUX, Action::Respect),
        ("on, the latest that serves", own(true, 310, 0, 0), LINUX, Action::Respect),
        ("on, but the timer may fire late", own(true, 311, 0, 0), LINUX, Action::Tighten(POLICY.keepalive)),
        ("on, far too late", own(true, 7200, 0, 0), LINUX, Action::Tighten(POLICY.keepalive)),
        ("on, sysctl too late", own(true, 0, 0, 0), LINUX, Action::Tighten(POLICY.keepalive)),
        ("on, sysctl early enough", own(true, 0, 0, 0), TUNED, Action::Respect),
        ("off, sysctl early enough", own(false, 0, 0, 0), TUNED, Action::Inject(POLICY.keepalive)),
        ("off, idle chosen", own(false, 60, 0, 0), LINUX, Action::Tighten(keepalive(60, 30, 9))),
        ("off, interval chosen", own(false, 0, 20, 0), LINUX, Action::Tighten(keepalive(240, 20, 9))),
        ("off, probes chosen", own(false, 0, 0, 4), LINUX, Action::Tighten(keepalive(240, 30, 4))),
        ("off, bits that cancel out", own(false, 60, 60, 0), LINUX, Action::Tighten(keepalive(60, 30, 9))),
        ("early, but the second probe too late", own(true, 60, 350, 0), LINUX, Action::Tighten(keepalive(60, 30, 9))),
        ("late, own interval", own(true, 7200, 10, 0), LINUX, Action::Tighten(keepalive(240, 10, 9))),
        ("late, slow interval", own(true, 7200, 300, 0), LINUX, Action::Tighten(keepalive(240, 30, 9))),
        ("own probes stand", own(true, 7200, 0, 3), LINUX, Action::Tighten(keepalive(240, 30, 3))),
        ("a single one, too, where it is on", own(true, 7200, 0, 1), LINUX, Action::Tighten(keepalive(240, 30, 1))),
        ("but not where we switch it on", own(false, 0, 0, 1), LINUX, Action::Tighten(keepalive(240, 30, 3))),
        ("two may be lost then", own(false, 0, 0, 2), LINUX, Action::Tighten(keepalive(240, 30, 3))),
    ];
    for (case, own, sysctl, expected) in table {
        assert_eq!(chosen(&own, &sysctl), expected, "{case}");
    }
}

#[test]
fn sysctls_are_values_like_any_other() {
    let sysctl = |idle_s, interval_s, probes| Sysctl { idle_s, interval_s, probes };
    let minute = FlowPolicy { limit_ms: 60_000, keepalive: keepalive(41, 5, 9), ..POLICY };
    let table = [
        ("idle stays", minute, own(true, 0, 0, 0), sysctl(20, 75, 9), keepalive(20, 5, 9)),
        ("interval stays", POLICY, own(true, 0, 0, 0), sysctl(7200, 1, 9), keepalive(240, 1, 9)),
        ("interval too long", minute, own(true, 10, 0, 0), LINUX, keepalive(10, 5, 9)),
        ("fewer probes stay", POLICY, own(true, 0, 0, 0), sysctl(7200, 75, 4), keepalive(240, 30, 4)),
        ("more don't", POLICY, own(true, 0, 0, 0), sysctl(7200, 75, 20), keepalive(240, 30, 9)),
        ("own before all", POLICY, own(true, 7200, 25, 5), sysctl(20, 1, 1), keepalive(240, 25, 5)),
        ("not known", POLICY, own(true, 7200, 0, 0), Sysctl::default(), keepalive(240, 30, 9)),
    ];
    for (case, policy, own, sysctl, expected) in table {
        assert_eq!(choose(&policy, &own, &sysctl, false), Action::Tighten(expected), "{case}");
    }
    // Where nothing was chosen they have no effect.
    assert_eq!(chosen(&Own::default(), &sysctl(20, 1, 1)), Action::Inject(POLICY.keepalive));
}

#[test]
fn times_fit_into_a_user_timeout() {
    let with = |own: Own, user_timeout_ms| Own { user_timeout_ms, ..own };
    let off = Own::default();
    let table = [
        ("gRPC's", with(off, 20_000), Action::Tighten(keepalive(5, 5, 9))),
        ("too short for any", with(off, 19_999), Action::Respect),
        ("much too short", with(off, 1), Action::Respect),
        ("between both times", with(off, 200_000), Action::Tighten(keepalive(50, 30, 9))),
        ("long", with(off, 3_600_000), Action::Tighten(keepalive(240, 30, 9))),
        ("own keepalive that fits", with(own(true, 10, 5, 0), 30_000), Action::Respect),
        ("own that does not", with(own(true, 60, 10, 0), 30_000), Action::Tighten(keepalive(7, 7, 9))),
        ("own that can't", with(own(true, 60, 10, 0), 10_000), Action::Respect),
    ];
    for (case, own, expected) in table {
        assert_eq!(chosen(&own, &LINUX), expected, "{case}");
        let enforce = FlowPolicy { conflict: ENFORCE, ..POLICY };
        let enforced = choose(&enforce, &own, &LINUX, false);
        let is_left_alone = own.user_timeout_ms < MIN_USER_TIMEOUT_MS;
        assert_eq!(enforced == Action::Respect, is_left_alone, "enforced, {case}: {enforced:?}");
    }
}

#[test]
fn an_own_user_timeout_stands() {
    let policy = FlowPolicy { keepalive: Keepalive { user_timeout_ms: 400_000, ..POLICY.keepalive }, ..POLICY };
    let own = Own { user_timeout_ms: 960_000, ..Own::default() };
    assert_eq!(choose(&policy, &own, &LINUX, false), Action::Tighten(POLICY.keepalive));
    // Not under enforce, where the policy has one: then there is nothing to fit into.
    let short = Own { user_timeout_ms: 5, ..Own::default() };
    let enforce = FlowPolicy { conflict: ENFORCE, ..policy };
    assert_eq!(choose(&enforce, &short, &LINUX, false), Action::Inject(policy.keepalive));
    assert_eq!(choose(&enforce, &short, &LINUX, true), Action::Respect);
}

#[test]
fn an_enforced_policy_respects_only_other_attachments() {
    let policy = FlowPolicy { conflict: ENFORCE, ..POLICY };
    let own = own(true, 320, 10, 3);
    assert_eq!(choose(&policy, &own, &LINUX, false), Action::Inject(POLICY.keepalive));
    assert_eq!(choose(&policy, &own, &LINUX, true), Action::Tighten(keepalive(240, 10, 3)));
    let child = Own { idle_s: 41, interval_s: 5, probes: 9, ..own };
    assert_eq!(choose(&policy, &child, &LINUX, true), Action::Respect);
}

#[test]
fn an_unfilled_policy_exempts() {
    assert_eq!(choose(&FlowPolicy::default(), &Own::default(), &LINUX, false), Action::Exempt);
}

#[test]
fn a_user_timeout_that_was_left_alone_is_no_difference() {
    let applied = keepalive(240, 30, 9);
    let table = [
        (Keepalive { user_timeout_ms: 5, ..applied }, true),
        (Keepalive { idle_s: 241, ..applied }, false),
        (Keepalive { interval_s: 31, ..applied }, false),
        (Keepalive { probes: 8, ..applied }, false),
    ];
    for (effective, expected) in table {
        assert_eq!(applied.is(&effective), expected, "{effective:?}");
    }
    let with = Keepalive { user_timeout_ms: 9, ..applied };
    assert!(with.is(&with) && !with.is(&applied));
}

fn any_own() -> impl Strategy<Value = Own> {
    let user_timeout = prop_oneof![Just(0_u32), 1..=i32::MAX.cast_unsigned(), 1..100_000_u32];
    (any::<bool>(), 0..=MAX_IDLE_S, 0..=MAX_IDLE_S, 0..=MAX_PROBES, user_timeout).prop_map(
        |(enabled, idle_s, interval_s, probes, user_timeout_ms)| Own {
            enabled,
            idle_s,
            interval_s,
            probes,
            user_timeout_ms,
        },
    )
}

fn any_sysctl() -> impl Strategy<Value = Sysctl> {
    (1..=400_000_u32, 1..=400_000_u32, 1..=MAX_PROBES).prop_map(|(idle_s, interval_s, probes)| Sysctl {
        idle_s,
        interval_s,
        probes,
    })
}

proptest! {
    /// Whether the application set a value or its namespace did.
    #[test]
    fn never_loosens(own in any_own(), sysctl in any_sysctl(), conflict in RESPECT..=TIGHTEN, is_nested: bool) {
        let policy = FlowPolicy { conflict: if is_nested { ENFORCE } else { conflict }, ..POLICY };
        let before = own.effective(&sysctl);
        if let Action::Tighten(set) = choose(&policy, &own, &sysctl, is_nested) {
            prop_assert!(set.idle_s <= POLICY.keepalive.idle_s && set.idle_s <= before.idle_s);
            prop_assert!(set.interval_s <= POLICY.keepalive.interval_s && set.interval_s <= before.interval_s);
            prop_assert!(!own.enabled || own.probes == 0 || set.probes == own.probes);
            prop_assert!(!own.enabled || set.probes <= before.probes);
            prop_assert_eq!(set.user_timeout_ms, 0);
        }
    }

    /// What is on survives: its probes fall below the limit, and one of them may be lost, unless the application itself
    /// chose that it may not.
    #[test]
    fn no_idle_time_reaches_the_limit(own in any_own(), sysctl in any_sysctl(), enforces: bool, is_nested: bool) {
        let policy = FlowPolicy { conflict: if enforces { ENFORCE } else { TIGHTEN }, ..POLICY };
        let is_left_alone = is_too_short(own.user_timeout_ms);
        let effective = match choose(&policy, &own, &sysctl, is_nested) {
            Action::Exempt => unreachable!(),
            Action::Respect => own.effective(&sysctl),
            Action::Inject(set) | Action::Tighten(set) => Keepalive { user_timeout_ms: own.user_timeout_ms, ..set },
        };
        if !is_left_alone {
            let longest_ms = latest_ms(effective.idle_s.max(effective.interval_s));
            prop_assert!(longest_ms < u64::from(POLICY.limit_ms), "{:?}", effective);
            prop_assert!(effective.probes == 1 || survives_a_lost_probe(&effective), "{:?}", effective);
            prop_assert!(fits_user_timeout(&effective), "{:?}", effective);
        }
    }

    /// A keepalive that was off never makes a connection end by one lost probe.
    #[test]
    fn what_we_switch_on_does_no_harm(own in any_own(), sysctl in any_sysctl()) {
        let own = Own { enabled: false, ..own };
        if let Action::Inject(set) | Action::Tighten(set) = choose(&POLICY, &own, &sysctl, false) {
            let effective = Keepalive { user_timeout_ms: own.user_timeout_ms, ..set };
            prop_assert!(survives_a_lost_probe(&effective), "{:?}", effective);
            prop_assert!(own.user_timeout_ms != 0 || set.probes >= SPARE_PROBES);
        }
    }
}
