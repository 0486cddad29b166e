//! The owner of a flow's keepalive, and why it does not protect the flow.

use std::time::Duration;

use injector_common::{
    applied::{GUARDED, LEFT_ALONE, bit},
    keepalive::Keepalive,
    record::{FlowSample, state},
    stats::{FAILED, OPTION_IDLE, OPTION_INTERVAL, OPTION_PROBES},
    status::{EXPOSED, LOCAL},
    timer::{is_too_short, longest_idle_ms, survives_a_lost_probe},
};

use super::Layer7;
use crate::units::exact;

/// The times and the number of probes, which identify a keepalive setting.
const VALUES: [Value; 3] = [
    Value { option: OPTION_IDLE, name: "KEEPIDLE", sysctl: "tcp_keepalive_time", of: |it| it.idle_s },
    Value { option: OPTION_INTERVAL, name: "KEEPINTVL", sysctl: "tcp_keepalive_intvl", of: |it| it.interval_s },
    Value { option: OPTION_PROBES, name: "KEEPCNT", sysctl: "tcp_keepalive_probes", of: |it| it.probes },
];

struct Value {
    option: u8,
    name: &'static str,
    /// What stands in for it, below `net.ipv4`.
    sysctl: &'static str,
    of: fn(&Keepalive) -> u32,
}

/// The owner of the keepalive: injector, until the values that this or another attachment set are changed.
pub(super) fn owner(sample: &FlowSample) -> &'static str {
    if sample.enabled == 0 {
        "none"
    } else if sample.applied.is(&sample.effective) || is_anothers(sample) {
        "injected"
    } else {
        "application"
    }
}

/// Whether what we had set was changed, and no call of the application did it:
/// the guard would have seen it.
fn is_anothers(sample: &FlowSample) -> bool {
    let mut differs = VALUES.iter().filter(|value| (value.of)(&sample.applied) != (value.of)(&sample.effective));
    sample.applied.idle_s != 0
        && sample.marks & GUARDED != 0
        && differs.all(|value| sample.asked & bit(value.option) == 0)
}

/// Why a flow is exposed although it had keepalive, or should have.
pub(super) fn reason(sample: &FlowSample, hop: Option<&str>, layer7: Option<&Layer7>) -> Option<String> {
    if sample.status == LOCAL {
        return None;
    }
    if let Some(timer) = layer7 {
        let hop = timer.hop.as_deref().unwrap_or("a hop");
        let at = exact(Duration::from_millis(timer.timeout_ms));
        return Some(format!("keepalive does not help here: {hop} closes at {at}"));
    }
    if sample.enabled == 0 {
        return Some(off(sample));
    }
    if sample.status < EXPOSED {
        return None;
    }
    // The effective values are what the kernel accepted, and say nothing about the application.
    if sample.outcome == FAILED && !sample.applied.is(&sample.effective) {
        return Some("the kernel refused to set keepalive".to_owned());
    }
    fragile(sample).or_else(|| half_closed(sample, hop)).or_else(|| changed(sample)).or_else(|| outdated(sample))
}

/// Keepalive that would serve an established connection comes too late for one that one side has ended.
fn half_closed(sample: &FlowSample, hop: Option<&str>) -> Option<String> {
    let longest_ms = longest_idle_ms(sample.effective.idle_s, sample.effective.interval_s);
    if !state::is_half_closed(sample.state) || longest_ms < sample.limit_ms.into() {
        return None;
    }
    let limit = exact(Duration::from_millis(sample.limit_ms.into()));
    let by = hop.map(|hop| format!(" by {hop}")).unwrap_or_default();
    Some(format!("half-closed: dropped{by} after {limit}, keepalive leaves up to {}s", longest_ms.div_ceil(1000)))
}

/// Why keepalive is off.
fn off(sample: &FlowSample) -> String {
    if sample.outcome == FAILED {
        return "the kernel refused to set keepalive".to_owned();
    }
    if sample.marks & LEFT_ALONE != 0 && is_too_short(sample.effective.user_timeout_ms) {
        let user_timeout = user_timeout(sample);
        return format!("left alone: application set TCP_USER_TIMEOUT {user_timeout}, too short for three probes");
    }
    if sample.marks & LEFT_ALONE != 0 {
        return "left alone for an earlier TCP_USER_TIMEOUT: `injector adopt` sets keepalive".to_owned();
    }
    "application switched SO_KEEPALIVE off".to_owned()
}

/// Why one lost probe would end the flow.
fn fragile(sample: &FlowSample) -> Option<String> {
    if survives_a_lost_probe(&sample.effective) {
        return None;
    }
    let (subject, cause) = if sample.effective.user_timeout_ms == 0 {
        set(sample, &VALUES[2])
    } else {
        ("application set ", format!("TCP_USER_TIMEOUT {}", user_timeout(sample)))
    };
    Some(format!("{subject}{cause}: would not survive one lost probe"))
}

fn user_timeout(sample: &FlowSample) -> String {
    exact(Duration::from_millis(sample.effective.user_timeout_ms.into()))
}

/// What differs from what we set. Where that was nothing the keepalive that was there served then, so it is what does not
/// serve now.
fn changed(sample: &FlowSample) -> Option<String> {
    let is_slow = |seconds| longest_idle_ms(seconds, 0) >= sample.limit_ms.into();
    let is_meant = |value: &Value| {
        let (applied, effective) = ((value.of)(&sample.applied), (value.of)(&sample.effective));
        if sample.applied.idle_s == 0 {
            value.option != OPTION_PROBES && is_slow(effective)
        } else {
            applied != effective
        }
    };
    let mut by: Vec<(&str, Vec<String>)> = Vec::new();
    for (subject, what) in VALUES.iter().filter(|value| is_meant(value)).map(|value| set(sample, value)) {
        match by.iter_mut().find(|(known, _)| *known == subject) {
            Some((_, all)) => all.push(what),
            None => by.push((subject, vec![what])),
        }
    }
    let all: Vec<_> = by.iter().map(|(subject, what)| format!("{subject}{}", what.join(", "))).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// The program that set a value, as far as known, and the value.
fn set(sample: &FlowSample, value: &Value) -> (&'static str, String) {
    let number = (value.of)(&sample.effective);
    if sample.own & bit(value.option) == 0 {
        return ("sysctl ", format!("net.ipv4.{} is {number}", value.sysctl));
    }
    let was_there = sample.applied.idle_s == 0 || (value.of)(&sample.applied) == number;
    let is_seen = sample.marks & GUARDED == 0 || sample.asked & bit(value.option) != 0;
    let subject = if was_there || is_seen { "application set " } else { "another program set " };
    (subject, format!("{} {number}", value.name))
}

/// What we set once does not serve a limit that came later.
fn outdated(sample: &FlowSample) -> Option<String> {
    let Keepalive { idle_s, interval_s, .. } = sample.effective;
    let is_slow = longest_idle_ms(idle_s, interval_s) >= sample.limit_ms.into();
    (is_slow && sample.applied.is(&sample.effective))
        .then(|| "set for a longer limit: `injector adopt` renews it".to_owned())
}

#[cfg(test)]
mod tests {
    use injector_common::{
        keepalive::Keepalive,
        stats::{INJECTED, RESPECTED},
        status::{AT_RISK, PROTECTED},
    };

    use super::*;

    const ALL: u8 = bit(OPTION_IDLE) | bit(OPTION_INTERVAL) | bit(OPTION_PROBES);
    const OURS: Keepalive = Keepalive { idle_s: 240, interval_s: 30, probes: 9, user_timeout_ms: 0 };

    fn sample() -> FlowSample {
        FlowSample {
            limit_ms: 350_000,
            effective: OURS,
            applied: OURS,
            enabled: 1,
            status: PROTECTED,
            outcome: INJECTED,
            own: ALL,
            ..FlowSample::default()
        }
    }

    #[track_caller]
    fn check(sample: &FlowSample, expected: (&str, Option<&str>)) {
        assert_eq!((owner(sample), reason(sample, None, None).as_deref()), expected, "{sample:#?}");
    }

    #[test]
    fn what_was_set() {
        let with = |effective, status| FlowSample { effective, status, ..sample() };
        check(&sample(), ("injected", None));
        let late = Keepalive { idle_s: 7200, ..OURS };
        check(&with(late, EXPOSED), ("application", Some("application set KEEPIDLE 7200")));
        let more = Keepalive { probes: 3, ..late };
        check(&with(more, EXPOSED), ("application", Some("application set KEEPIDLE 7200, KEEPCNT 3")));
        check(&with(Keepalive { idle_s: 60, ..OURS }, PROTECTED), ("application", None));
        let off = FlowSample { enabled: 0, status: AT_RISK, ..sample() };
        check(&off, ("none", Some("application switched SO_KEEPALIVE off")));
    }

    #[test]
    fn what_was_respected() {
        let own = Keepalive { idle_s: 20, interval_s: 5, ..OURS };
        let with = |effective, status| FlowSample {
            outcome: RESPECTED,
            applied: Keepalive::default(),
            effective,
            status,
            ..sample()
        };
        check(&with(own, PROTECTED), ("application", None));
        check(
            &FlowSample { enabled: 0, ..with(own, EXPOSED) },
            ("none", Some("application switched SO_KEEPALIVE off")),
        );
        let late = Keepalive { idle_s: 7200, ..own };
        check(&with(late, EXPOSED), ("application", Some("application set KEEPIDLE 7200")));
        let both = Keepalive { idle_s: 350, interval_s: 400, ..own };
        check(&with(both, AT_RISK), ("application", Some("application set KEEPIDLE 350, KEEPINTVL 400")));
        // Its probes are lost, which no program chose.
        check(&with(own, AT_RISK), ("application", None));
    }

    #[test]
    fn what_a_sysctl_did() {
        let effective = Keepalive { idle_s: 7200, ..OURS };
        let respected = FlowSample { outcome: RESPECTED, applied: Keepalive::default(), effective, ..sample() };
        let sysctl = FlowSample { own: bit(OPTION_PROBES), status: EXPOSED, ..respected };
        check(&sysctl, ("application", Some("sysctl net.ipv4.tcp_keepalive_time is 7200")));
        let both =
            FlowSample { effective: Keepalive { interval_s: 400, ..effective }, own: bit(OPTION_INTERVAL), ..sysctl };
        let expected = "sysctl net.ipv4.tcp_keepalive_time is 7200; application set KEEPINTVL 400";
        check(&both, ("application", Some(expected)));
    }

    #[test]
    fn sysctls_and_other_programs_are_not_blamed_on_the_application() {
        let effective = Keepalive { idle_s: 41, interval_s: 5, ..OURS };
        let nested = FlowSample { effective, marks: GUARDED, ..sample() };
        check(&nested, ("injected", None));
        let asked = bit(OPTION_IDLE) | bit(OPTION_INTERVAL);
        check(&FlowSample { asked, ..nested }, ("application", None));
        let slow = FlowSample { effective: Keepalive { idle_s: 7200, ..OURS }, status: EXPOSED, ..nested };
        check(&slow, ("injected", Some("another program set KEEPIDLE 7200")));
        check(&FlowSample { asked, ..slow }, ("application", Some("application set KEEPIDLE 7200")));
    }

    #[test]
    fn what_a_user_timeout_does() {
        let with = |user_timeout_ms, effective| FlowSample {
            effective: Keepalive { user_timeout_ms, ..effective },
            status: EXPOSED,
            ..sample()
        };
        let expected = "application set TCP_USER_TIMEOUT 20s: would not survive one lost probe";
        check(&with(20_000, OURS), ("injected", Some(expected)));
        let off = FlowSample { enabled: 0, marks: LEFT_ALONE, outcome: RESPECTED, ..with(2000, OURS) };
        let expected = "left alone: application set TCP_USER_TIMEOUT 2s, too short for three probes";
        check(&off, ("none", Some(expected)));
        let single = with(0, Keepalive { probes: 1, ..OURS });
        let expected = Some("application set KEEPCNT 1: would not survive one lost probe");
        check(&single, ("application", expected));
        check(&FlowSample { applied: single.effective, marks: GUARDED, ..single }, ("injected", expected));
        let gone = FlowSample { effective: OURS, ..off };
        let expected = "left alone for an earlier TCP_USER_TIMEOUT: `injector adopt` sets keepalive";
        check(&gone, ("none", Some(expected)));
    }

    #[test]
    fn what_an_earlier_policy_had_set() {
        let late = FlowSample { limit_ms: 60_000, status: EXPOSED, ..sample() };
        check(&late, ("injected", Some("set for a longer limit: `injector adopt` renews it")));
    }

    #[test]
    fn what_the_kernel_refused() {
        let with = |enabled, status| FlowSample {
            outcome: FAILED,
            effective: Keepalive { idle_s: 7200, ..OURS },
            enabled,
            status,
            ..sample()
        };
        check(&with(0, EXPOSED), ("none", Some("the kernel refused to set keepalive")));
        check(&with(1, EXPOSED), ("application", Some("the kernel refused to set keepalive")));
        check(&with(1, PROTECTED), ("application", None));
    }

    #[test]
    fn a_timer_that_keepalive_does_not_reach() {
        let timer = Layer7 { hop: Some("web".to_owned()), timeout_ms: 60_000 };
        let expected = "keepalive does not help here: web closes at 60s";
        assert_eq!(reason(&sample(), None, Some(&timer)).as_deref(), Some(expected));
    }

    #[test]
    fn what_one_side_has_ended() {
        let half = |state, limit_ms| FlowSample { state, limit_ms, status: EXPOSED, ..sample() };
        let late = "half-closed: dropped by fw after 60s, keepalive leaves up to 271s";
        let found = |sample: &FlowSample| reason(sample, Some("fw"), None);
        for state in [state::CLOSE_WAIT, state::FIN_WAIT1, state::FIN_WAIT2] {
            assert_eq!(found(&half(state, 60_000)).as_deref(), Some(late), "{state}");
            assert_eq!(found(&half(state, 300_000)), None, "{state}");
        }
        let established = found(&half(state::ESTABLISHED, 60_000));
        assert_eq!(established.as_deref(), Some("set for a longer limit: `injector adopt` renews it"));
        assert_eq!(reason(&half(state::CLOSE_WAIT, 60_000), None, None).as_deref(), Some(&*late.replace(" by fw", "")));
        let off = FlowSample { enabled: 0, ..half(state::CLOSE_WAIT, 60_000) };
        assert_eq!(found(&off).as_deref(), Some("application switched SO_KEEPALIVE off"));
    }

    #[test]
    fn flows_within_this_host_need_no_reason() {
        check(&FlowSample { enabled: 0, limit_ms: 0, status: LOCAL, ..sample() }, ("none", None));
    }
}
