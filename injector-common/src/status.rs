//! How a flow stands towards the hop that forgets it first.

/// Keepalive is on, never lets the idle time reach the limit, and one lost
/// probe does not end the connection.
pub const PROTECTED: u8 = 0;
/// No keepalive, one that starts too late, or one that a single lost probe
/// ends; the flow is not idle for long yet.
pub const EXPOSED: u8 = 1;
/// Idle beyond the warning mark.
pub const AT_RISK: u8 = 2;
/// Idle beyond the limit: the hop has forgotten the flow, or is about to.
pub const OVERDUE: u8 = 3;
/// The peer no longer answers probes or data, though the limit is not reached.
pub const STALLED: u8 = 4;
/// How many statuses there are.
pub const STATUSES: usize = 5;
/// Names of the statuses, in the order of their values.
pub const STATUS_NAMES: [&str; STATUSES] = ["protected", "exposed", "at_risk", "overdue", "stalled"];

/// Unanswered probes from which a flow counts as stalled: the first one may
/// still be on its way, or have been lost.
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
    /// Keepalive probes without an answer.
    pub unanswered_probes: u8,
    /// Retransmissions of the oldest unacknowledged segment.
    pub retransmits: u8,
    /// Wire idle time.
    pub idle_ms: u64,
    /// Idle timeout of the hop.
    pub limit_ms: u64,
    /// Idle time from which to warn.
    pub warn_ms: u64,
    /// Silence of the applications.
    pub app_idle_ms: u64,
    /// Timer on the way that counts payload alone, and so can't be held off by
    /// keepalive; 0 for none.
    pub layer7_ms: u64,
    /// Application idle time from which to warn of it.
    pub layer7_warn_ms: u64,
}

/// The status of a flow.
#[inline(always)]
pub const fn classify(facts: &Facts) -> u8 {
    let has_timer = facts.layer7_ms != 0;
    if facts.idle_ms >= facts.limit_ms || has_timer && facts.app_idle_ms >= facts.layer7_ms {
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

/// Whether a status is one to tell the user about.
#[inline(always)]
pub const fn is_finding(status: u8) -> bool {
    matches!(status, AT_RISK | OVERDUE | STALLED)
}

/// Milliseconds until silence alone would change the status; `None` when it
/// no longer can.
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
            ("one probe on its way", Facts { unanswered_probes: 1, ..QUIET }, PROTECTED),
            ("probes unanswered", Facts { unanswered_probes: 2, idle_ms: 290_000, ..QUIET }, STALLED),
            ("data unanswered", Facts { retransmits: 3, ..QUIET }, STALLED),
            ("forgotten outweighs stalled", Facts { unanswered_probes: 5, idle_ms: 400_000, ..QUIET }, OVERDUE),
            ("keepalive does not help", BEHIND_A_TIMER, EXPOSED),
            ("the timer comes near", Facts { app_idle_ms: 48_000, ..BEHIND_A_TIMER }, AT_RISK),
            ("the timer has fired", Facts { app_idle_ms: 60_000, ..BEHIND_A_TIMER }, OVERDUE),
            ("no timer", Facts { app_idle_ms: 60_000, ..QUIET }, PROTECTED),
            ("a mark above the limit never hides it", Facts { warn_ms: 900_000, idle_ms: 350_000, ..QUIET }, OVERDUE),
        ];
        for (case, facts, expected) in table {
            assert_eq!(classify(&facts), expected, "{case}");
        }
    }

    #[test]
    fn changes_to_come() {
        assert_eq!(until_change_ms(0, 280, 350), Some(280));
        assert_eq!(until_change_ms(280, 280, 350), Some(70));
        assert_eq!(until_change_ms(350, 280, 350), None);
    }
}
