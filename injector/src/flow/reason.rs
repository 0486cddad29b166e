//! Whose keepalive a flow has, and why it does not protect it.

use std::time::Duration;

use injector_common::{keepalive::longest_silence_ms, record::FlowSample, stats::FAILED, status::EXPOSED};

use super::Layer7;
use crate::units::exact;

/// Whose keepalive it is: ours as long as nobody changed what we set.
pub(super) fn owner(sample: &FlowSample) -> &'static str {
    match (sample.enabled != 0, as_applied(sample)) {
        (false, _) => "none",
        (true, true) => "injected",
        (true, false) => "application",
    }
}

fn as_applied(sample: &FlowSample) -> bool {
    let (applied, effective) = (&sample.applied, &sample.effective);
    applied.idle_s == effective.idle_s
        && applied.interval_s == effective.interval_s
        && applied.probes == effective.probes
        && (applied.user_timeout_ms == 0 || applied.user_timeout_ms == effective.user_timeout_ms)
}

/// Why a flow is exposed although it had keepalive, or should have.
pub(super) fn reason(sample: &FlowSample, layer7: Option<&Layer7>) -> Option<String> {
    if let Some(timer) = layer7 {
        let hop = timer.hop.as_deref().unwrap_or("a hop");
        let at = exact(Duration::from_millis(timer.timeout_ms));
        return Some(format!("keepalive does not help here: {hop} closes at {at}"));
    }
    if sample.enabled != 0 && as_applied(sample) {
        return None;
    }
    // What is in force is what the kernel left of it, and says nothing of the application.
    if sample.outcome == FAILED {
        return (sample.status >= EXPOSED).then(|| "the kernel refused to set keepalive".to_owned());
    }
    if sample.enabled == 0 {
        return Some("application switched SO_KEEPALIVE off".to_owned());
    }
    let list = set_by_application(sample);
    (sample.status >= EXPOSED && !list.is_empty()).then(|| format!("application set {}", list.join(", ")))
}

/// What differs from what we set. Where that was nothing the application's own keepalive served then, so it is what does
/// not serve now.
fn set_by_application(sample: &FlowSample) -> Vec<String> {
    let (applied, effective) = (&sample.applied, &sample.effective);
    let differs = |ours: u32, theirs: u32| ours != theirs;
    let is_slow = |seconds| longest_silence_ms(seconds, 0) >= sample.limit_ms.into();
    let (idle, interval, probes) = if applied.idle_s == 0 {
        (is_slow(effective.idle_s), is_slow(effective.interval_s), false)
    } else {
        (
            differs(applied.idle_s, effective.idle_s),
            differs(applied.interval_s, effective.interval_s),
            differs(applied.probes, effective.probes),
        )
    };
    let all = [
        (idle, "KEEPIDLE", effective.idle_s),
        (interval, "KEEPINTVL", effective.interval_s),
        (probes, "KEEPCNT", effective.probes),
    ];
    all.iter().filter(|(is_meant, ..)| *is_meant).map(|(_, name, value)| format!("{name} {value}")).collect()
}

#[cfg(test)]
mod tests {
    use injector_common::{
        keepalive::Keepalive,
        stats::{INJECTED, RESPECTED},
        status::{AT_RISK, PROTECTED},
    };

    use super::*;

    const OURS: Keepalive = Keepalive { idle_s: 240, interval_s: 30, probes: 9, user_timeout_ms: 0 };

    fn sample() -> FlowSample {
        FlowSample {
            limit_ms: 350_000,
            effective: OURS,
            applied: OURS,
            enabled: 1,
            status: PROTECTED,
            outcome: INJECTED,
            ..FlowSample::default()
        }
    }

    #[track_caller]
    fn check(sample: &FlowSample, expected: (&str, Option<&str>)) {
        assert_eq!((owner(sample), reason(sample, None).as_deref()), expected, "{sample:#?}");
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
        // Its probes don't come through: that is nobody's choice.
        check(&with(own, AT_RISK), ("application", None));
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
        assert_eq!(reason(&sample(), Some(&timer)).as_deref(), Some(expected));
    }
}
