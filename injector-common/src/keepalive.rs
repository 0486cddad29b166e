//! Keepalive parameters, and what to do with a socket that may already have
//! its own.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::conflict::ENFORCE;

/// Longest `TCP_KEEPIDLE` and `TCP_KEEPINTVL` the kernel takes, in seconds
/// (`MAX_TCP_KEEPIDLE`, `MAX_TCP_KEEPINTVL` in include/net/tcp.h).
pub const MAX_IDLE_S: u32 = 32_767;
/// Largest `TCP_KEEPCNT` the kernel takes (`MAX_TCP_KEEPCNT`).
pub const MAX_PROBES: u32 = 127;
/// What the kernel uses for `TCP_KEEPCNT` unless told otherwise
/// (`TCP_KEEPALIVE_PROBES`).
pub const DEFAULT_PROBES: u32 = 9;

/// Keepalive parameters of one socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Keepalive {
    /// `TCP_KEEPIDLE`: seconds of silence before the first probe.
    pub idle_s: u32,
    /// `TCP_KEEPINTVL`: seconds between unanswered probes.
    pub interval_s: u32,
    /// `TCP_KEEPCNT`: unanswered probes before the kernel gives the
    /// connection up.
    pub probes: u32,
    /// `TCP_USER_TIMEOUT` in milliseconds; 0 leaves it alone. When set, the
    /// kernel gives up by it and no longer by [`Self::probes`].
    pub user_timeout_ms: u32,
}

/// What to do with the flows of an attachment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FlowPolicy {
    /// Parameters to inject. An idle of 0 exempts: nothing is set, so a map
    /// that nobody has filled yet does no harm.
    pub keepalive: Keepalive,
    /// Idle timeout of the hop that forgets first, in milliseconds.
    pub limit_ms: u32,
    /// Wire idle time from which a flow counts as at risk, in milliseconds.
    pub warn_ms: u32,
    /// Whose word counts, from [`crate::conflict`].
    pub conflict: u32,
}

const _: () = assert!(size_of::<FlowPolicy>() == 28);

/// What the application chose before the connection was established. A value
/// of 0 was never set: the network namespace's sysctl stands in for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// `SO_KEEPALIVE` is on.
    pub enabled: bool,
    /// `TCP_KEEPIDLE` in seconds.
    pub idle_s: u32,
    /// `TCP_KEEPINTVL` in seconds.
    pub interval_s: u32,
    /// `TCP_KEEPCNT`.
    pub probes: u32,
    /// `TCP_USER_TIMEOUT` in milliseconds.
    pub user_timeout_ms: u32,
}

/// What a network namespace has for sockets that chose nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sysctl {
    /// `net.ipv4.tcp_keepalive_time` in seconds.
    pub idle_s: u32,
    /// `net.ipv4.tcp_keepalive_intvl` in seconds.
    pub interval_s: u32,
}

/// What becomes of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The policy leaves it alone.
    Exempt,
    /// The application's own keepalive serves: it stays as it is.
    Respect,
    /// The application chose nothing: the policy's parameters.
    Inject(Keepalive),
    /// The application chose something that does not serve: brought within
    /// the policy, never loosened.
    Tighten(Keepalive),
}

/// Longest silence that keepalive leaves on the wire, in milliseconds.
///
/// The interval counts as much as the idle time: once a probe is out, the
/// kernel looks again only after the interval, even where the probe was
/// answered at once (`tcp_keepalive_timer` in `net/ipv4/tcp_timer.c`).
#[inline(always)]
pub fn longest_silence_ms(idle_s: u32, interval_s: u32) -> u64 {
    u64::from(if idle_s > interval_s { idle_s } else { interval_s }) * 1000
}

/// Decides what to do with a socket that has `own`, under `policy`.
///
/// `sysctl` rules where keepalive is on and the application left a value
/// alone.
#[inline(always)]
pub fn choose(policy: &FlowPolicy, own: &Own, sysctl: &Sysctl) -> Action {
    if policy.keepalive.idle_s == 0 {
        return Action::Exempt;
    }
    if policy.conflict == ENFORCE {
        return Action::Inject(policy.keepalive);
    }
    let idle_s = if own.idle_s == 0 { sysctl.idle_s } else { own.idle_s };
    let interval_s = if own.interval_s == 0 { sysctl.interval_s } else { own.interval_s };
    if own.enabled && longest_silence_ms(idle_s, interval_s) < u64::from(policy.limit_ms) {
        return Action::Respect;
    }
    let chosen = own.idle_s | own.interval_s | own.probes | own.user_timeout_ms;
    if !own.enabled && chosen == 0 {
        return Action::Inject(policy.keepalive);
    }
    Action::Tighten(tightened(&policy.keepalive, own))
}

/// The stricter of both where it decides how soon a hop hears of the flow.
/// How many probes, and how long to wait in all, decide when a connection is
/// given up: there the application's word stands.
#[inline(always)]
fn tightened(policy: &Keepalive, own: &Own) -> Keepalive {
    Keepalive {
        idle_s: shorter(own.idle_s, policy.idle_s),
        interval_s: shorter(own.interval_s, policy.interval_s),
        probes: if own.probes == 0 { policy.probes } else { own.probes },
        user_timeout_ms: if own.user_timeout_ms == 0 { policy.user_timeout_ms } else { 0 },
    }
}

#[inline(always)]
const fn shorter(own: u32, policy: u32) -> u32 {
    if own == 0 || policy < own { policy } else { own }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::conflict::RESPECT;

    const POLICY: FlowPolicy = FlowPolicy {
        keepalive: Keepalive { idle_s: 240, interval_s: 30, probes: 9, user_timeout_ms: 0 },
        limit_ms: 350_000,
        warn_ms: 280_000,
        conflict: RESPECT,
    };

    const LINUX: Sysctl = Sysctl { idle_s: 7200, interval_s: 75 };
    const TUNED: Sysctl = Sysctl { idle_s: 200, interval_s: 75 };

    fn own(enabled: bool, idle_s: u32, interval_s: u32, probes: u32) -> Own {
        Own { enabled, idle_s, interval_s, probes, user_timeout_ms: 0 }
    }

    fn keepalive(idle_s: u32, interval_s: u32, probes: u32) -> Keepalive {
        Keepalive { idle_s, interval_s, probes, user_timeout_ms: 0 }
    }

    #[test]
    fn choices() {
        let table = [
            ("nothing chosen", own(false, 0, 0, 0), LINUX, Action::Inject(POLICY.keepalive)),
            ("on and early enough", own(true, 60, 0, 0), LINUX, Action::Respect),
            ("on, just below the limit", own(true, 349, 0, 0), LINUX, Action::Respect),
            ("on, at the limit", own(true, 350, 0, 0), LINUX, Action::Tighten(POLICY.keepalive)),
            ("on, far too late", own(true, 7200, 0, 0), LINUX, Action::Tighten(POLICY.keepalive)),
            ("on, sysctl too late", own(true, 0, 0, 0), LINUX, Action::Tighten(POLICY.keepalive)),
            ("on, sysctl early enough", own(true, 0, 0, 0), TUNED, Action::Respect),
            ("off, sysctl early enough", own(false, 0, 0, 0), TUNED, Action::Inject(POLICY.keepalive)),
            ("off, idle chosen", own(false, 60, 0, 0), LINUX, Action::Tighten(keepalive(60, 30, 9))),
            (
                "early, but the second probe too late",
                own(true, 60, 350, 0),
                LINUX,
                Action::Tighten(keepalive(60, 30, 9)),
            ),
            ("late, own interval", own(true, 7200, 10, 0), LINUX, Action::Tighten(keepalive(240, 10, 9))),
            ("late, slow interval", own(true, 7200, 300, 0), LINUX, Action::Tighten(keepalive(240, 30, 9))),
            ("own probes stand", own(true, 7200, 0, 3), LINUX, Action::Tighten(keepalive(240, 30, 3))),
        ];
        for (case, own, sysctl, expected) in table {
            assert_eq!(choose(&POLICY, &own, &sysctl), expected, "{case}");
        }
    }

    #[test]
    fn the_interval_of_the_namespace_counts() {
        let policy = FlowPolicy { limit_ms: 60_000, keepalive: keepalive(41, 5, 9), ..POLICY };
        assert_eq!(choose(&policy, &own(true, 10, 0, 0), &LINUX), Action::Tighten(keepalive(10, 5, 9)));
    }

    #[test]
    fn an_enforced_policy_asks_nobody() {
        let policy = FlowPolicy { conflict: ENFORCE, ..POLICY };
        assert_eq!(choose(&policy, &own(true, 60, 10, 3), &LINUX), Action::Inject(POLICY.keepalive));
    }

    #[test]
    fn an_unfilled_policy_exempts() {
        assert_eq!(choose(&FlowPolicy::default(), &own(false, 0, 0, 0), &LINUX), Action::Exempt);
    }

    #[test]
    fn an_own_user_timeout_stands() {
        let policy = FlowPolicy { keepalive: Keepalive { user_timeout_ms: 9000, ..POLICY.keepalive }, ..POLICY };
        let own = Own { user_timeout_ms: 500, ..Own::default() };
        assert_eq!(choose(&policy, &own, &LINUX), Action::Tighten(POLICY.keepalive));
    }

    proptest! {
        #[test]
        fn never_loosens(enabled: bool, idle in 0..=MAX_IDLE_S, interval in 0..=MAX_IDLE_S, probes in 0..=MAX_PROBES) {
            if let Action::Tighten(set) = choose(&POLICY, &own(enabled, idle, interval, probes), &LINUX) {
                prop_assert!(set.idle_s <= POLICY.keepalive.idle_s && (idle == 0 || set.idle_s <= idle));
                prop_assert!(set.interval_s <= POLICY.keepalive.interval_s && (interval == 0 || set.interval_s <= interval));
                prop_assert!(probes == 0 || set.probes == probes);
            }
        }

        #[test]
        fn no_silence_reaches_the_limit(
            enabled: bool, idle in 0..=MAX_IDLE_S, interval in 0..=MAX_IDLE_S, default_idle in 1..=MAX_IDLE_S,
        ) {
            let sysctl = Sysctl { idle_s: default_idle, interval_s: 75 };
            let silence_ms = match choose(&POLICY, &own(enabled, idle, interval, 0), &sysctl) {
                Action::Exempt => unreachable!(),
                Action::Respect => longest_silence_ms(
                    if idle == 0 { default_idle } else { idle },
                    if interval == 0 { sysctl.interval_s } else { interval },
                ),
                Action::Inject(set) | Action::Tighten(set) => longest_silence_ms(set.idle_s, set.interval_s),
            };
            prop_assert!(silence_ms < u64::from(POLICY.limit_ms));
        }
    }
}
