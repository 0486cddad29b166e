//! The status of a flow towards the hop that expires first.

/// Keepalive is on, never lets the idle time reach the limit, and one lost
/// probe does not end the connection.
pub const PROTECTED: u8 = 0;
/// No keepalive, one that starts too late, or one that a single lost probe
/// ends; the flow is not idle for long yet.
pub const EXPOSED: u8 = 1;
/// Idle beyond the warning mark.
pub const AT_RISK: u8 = 2;
/// Idle beyond the limit: the hop has dropped the flow, or is about to.
pub const OVERDUE: u8 = 3;
/// The peer no longer answers probes or data, though the limit is not reached.
pub const STALLED: u8 = 4;
/// Both ends are on this host, and no hop is: there is no limit.
pub const LOCAL: u8 = 5;
/// How many statuses there are.
pub const STATUSES: usize = 6;
/// Names of the statuses, in the order of their values.
pub const STATUS_NAMES: [&str; STATUSES] = ["protected", "exposed", "at_risk", "overdue", "stalled", "local"];

/// No status: a policy leaves the flow alone. Only written to a watcher that was
/// given another one before.
pub const EXEMPT: u8 = u8::MAX;

/// Unanswered probes from which a flow counts as stalled: the first one may
/// still be in flight, or have been lost.
pub const STALLED_PROBES: u8 = 2;
/// Retransmissions in a row from which a flow counts as stalled.
pub const STALLED_RETRANSMITS: u8 = 3;

/// What a status is decided on. Times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// `SO_KEEPALIVE` is on.
    pub enabled: bool,
    /// Longest idle time that keepalive leaves, see
    /// [`crate::timer::longest_idle_ms`].
    pub longest_idle_ms: u64,
    /// See [`crate::timer::survives_a_lost_probe`].
    pub survives_a_lost_probe: bool,
    /// Keepalive probes without an answer, see [`unanswered`].
    pub unanswered_probes: u8,
    /// Retransmissions of the oldest unacknowledged segment.
    pub retransmits: u8,
    /// Both ends are on this host, and no hop is.
    pub is_local: bool,
    /// Wire idle time.
    pub idle_ms: u64,
    /// Idle timeout of the hop.
    pub limit_ms: u64,
    /// Idle time from which to warn.
    pub warn_ms: u64,
    /// Application idle time.
    pub app_idle_ms: u64,
    /// Timer on the path that counts only payload, and so is not reset by
    /// keepalive; 0 for none.
    pub layer7_ms: u64,
    /// Application idle time from which to warn of it.
    pub layer7_warn_ms: u64,
}

/// The status of a flow.
#[inline(always)]
pub const fn classify(facts: &Facts) -> u8 {
    let has_timer = facts.layer7_ms != 0;
    if facts.is_local {
        LOCAL
    } else if facts.idle_ms >= facts.limit_ms || has_timer && facts.app_idle_ms >= facts.layer7_ms {
        OVERDUE
    } else if facts.unanswered_probes >= STALLED_PROBES || facts.retransmits >= STALLED_RETRANSMITS {
        STALLED
    } else if facts.idle_ms >= facts.warn_ms || has_timer && facts.app_idle_ms >= facts.layer7_warn_ms {
        AT_RISK
    } else if !has_timer && facts.enabled && facts.longest_idle_ms < facts.limit_ms && facts.survives_a_lost_probe {
        PROTECTED
    } else {
        EXPOSED
    }
}

/// Of `probes_out` probes of ours, how many the peer left without an answer:
/// none where it was heard after the first of them was due.
///
/// The kernel's own rule, `keepalive_time_elapsed()` in include/net/tcp.h. Its
/// counter alone does not show: data that arrives without acknowledging
/// anything new leaves it as it is.
#[inline(always)]
pub const fn unanswered(probes_out: u8, unheard_ms: u64, idle_s: u32) -> u8 {
    if unheard_ms < idle_s as u64 * 1000 { 0 } else { probes_out }
}

/// Retransmissions of the oldest unacknowledged segment. Where the peer has
/// closed its window nothing is retransmitted: the window is probed instead.
#[inline(always)]
pub const fn retransmissions(retransmits: u8, probes_out: u8, sent: Sent) -> u8 {
    let is_probing = sent.acknowledged == sent.next && sent.next != sent.written;
    if is_probing && probes_out > retransmits { probes_out } else { retransmits }
}

/// Sequence numbers of the way out.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Everything below is acknowledged.
    pub acknowledged: u32,
    /// Everything below was sent.
    pub next: u32,
    /// Everything below was written by the application.
    pub written: u32,
}

/// Whether a status is one to report.
#[inline(always)]
pub const fn is_finding(status: u8) -> bool {
    matches!(status, AT_RISK | OVERDUE | STALLED)
}

/// Milliseconds until staying idle would change the status; `None` when it no
/// longer can.
#[inline(always)]
pub const fn until_change_ms(idle_ms: u64, warn_ms: u64, limit_ms: u64) -> Option<u64> {
    if idle_ms < warn_ms {
        Some(warn_ms - idle_ms)
    } else if idle_ms < limit_ms {
        Some(limit_ms - idle_ms)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Facts = Facts {
        enabled: true,
        longest_idle_ms: 240_000,
        survives_a_lost_probe: true,
        unanswered_probes: 0,
        retransmits: 0,
        is_local: false,
        idle_ms: 0,
        limit_ms: 350_000,
        warn_ms: 280_000,
        app_idle_ms: 0,
        layer7_ms: 0,
        layer7_warn_ms: 0,
    };
    const BEHIND_A_TIMER: Facts = Facts { layer7_ms: 60_000, layer7_warn_ms: 48_000, ..QUIET };

    #[test]
    fn statuses() {
        let table = [
            ("fresh", QUIET, PROTECTED),
            ("off", Facts { enabled: false, ..QUIET }, EXPOSED),
            ("starts at the limit", Facts { longest_idle_ms: 350_000, ..QUIET }, EXPOSED),
            ("starts just below", Facts { longest_idle_ms: 349_999, ..QUIET }, PROTECTED),
            ("ends by one lost probe", Facts { survives_a_lost_probe: false, ..QUIET }, EXPOSED),
            ("just below the mark", Facts { idle_ms: 279_999, ..QUIET }, PROTECTED),
            ("at the mark", Facts { idle_ms: 280_000, ..QUIET }, AT_RISK),
            ("at the limit", Facts { idle_ms: 350_000, ..QUIET }, OVERDUE),
            ("one probe in flight", Facts { unanswered_probes: 1, ..QUIET }, PROTECTED),
            ("probes unanswered", Facts { unanswered_probes: 2, idle_ms: 290_000, ..QUIET }, STALLED),
            ("data unanswered", Facts { retransmits: 3, ..QUIET }, STALLED),
            ("overdue outweighs stalled", Facts { unanswered_probes: 5, idle_ms: 400_000, ..QUIET }, OVERDUE),
            ("keepalive does not help", BEHIND_A_TIMER, EXPOSED),
            ("the timer is close", Facts { app_idle_ms: 48_000, ..BEHIND_A_TIMER }, AT_RISK),
            ("the timer has fired", Facts { app_idle_ms: 60_000, ..BEHIND_A_TIMER }, OVERDUE),
            ("on this host", Facts { is_local: true, idle_ms: 400_000, unanswered_probes: 5, ..QUIET }, LOCAL),
            ("a timer that is not on the path", Facts { is_local: true, app_idle_ms: 60_000, ..BEHIND_A_TIMER }, LOCAL),
            ("no timer", Facts { app_idle_ms: 60_000, ..QUIET }, PROTECTED),
            ("a mark above the limit never hides it", Facts { warn_ms: 900_000, idle_ms: 350_000, ..QUIET }, OVERDUE),
        ];
        for (case, facts, expected) in table {
            assert_eq!(classify(&facts), expected, "{case}");
        }
    }

    #[test]
    fn findings() {
        let all = [PROTECTED, EXPOSED, AT_RISK, OVERDUE, STALLED, LOCAL];
        assert_eq!(all.map(is_finding), [false, false, true, true, true, false]);
        assert!(!is_finding(EXEMPT));
        let expected = ["protected", "exposed", "at_risk", "overdue", "stalled", "local"];
        assert_eq!(all.map(|status| STATUS_NAMES[usize::from(status)]), expected);
    }

    #[test]
    fn probes_that_were_answered() {
        for (unheard_ms, expected) in [(0, 0), (19_999, 0), (20_000, 3), (90_000, 3)] {
            assert_eq!(unanswered(3, unheard_ms, 20), expected, "{unheard_ms} ms");
        }
        assert_eq!(unanswered(0, 90_000, 20), 0);
    }

    #[test]
    fn a_closed_window_is_probed() {
        let sent = |acknowledged, next, written| Sent { acknowledged, next, written };
        let table = [
            ("all acknowledged", (0, 2), sent(7, 7, 7), 0),
            ("in flight", (1, 4), sent(5, 7, 7), 1),
            ("in flight, more to send", (1, 4), sent(5, 7, 9), 1),
            ("closed window", (0, 4), sent(7, 7, 9), 4),
            ("closed window across a wrap", (0, 4), sent(u32::MAX, u32::MAX, 5), 4),
            ("retransmitted more often", (5, 4), sent(7, 7, 9), 5),
        ];
        for (case, (retransmits, probes_out), sent, expected) in table {
            assert_eq!(retransmissions(retransmits, probes_out, sent), expected, "{case}");
        }
    }

    #[test]
    fn changes_to_come() {
        let table = [
            ((0, 280, 350), Some(280)),
            ((279, 280, 350), Some(1)),
            ((280, 280, 350), Some(70)),
            ((349, 280, 350), Some(1)),
            ((350, 280, 350), None),
            ((351, 280, 350), None),
            ((300, 900, 350), Some(600)),
        ];
        for ((idle, warn, limit), expected) in table {
            assert_eq!(until_change_ms(idle, warn, limit), expected, "{idle} {warn} {limit}");
        }
    }
}
