//! How long hops keep a connection that one side has ended.
//!
//! The other side may go on sending, and an answer may take its time; but most
//! such connections are about to end, and trackers give them far less than
//! established ones.

use std::time::Duration;

use super::{Kind, MIN_LIMIT};
use crate::host::netfilter;

/// The default where nothing is known: that of Linux connection tracking and IPVS.
const USUAL: Duration = Duration::from_secs(60);
/// The limit that goes with [`USUAL`]. A hop that drops established connections
/// sooner is taken to drop half-closed ones sooner in the same proportion.
const ESTABLISHED: Duration = Duration::from_secs(350);

/// How long a hop of `kind` with the idle timeout `timeout` keeps a half-closed
/// connection. Where that is the kernel of this host it is asked.
pub(super) fn half_closed(kind: Kind, timeout: Duration) -> Duration {
    let here = match kind {
        Kind::NfConntrack => netfilter::conntrack_half_closed(),
        Kind::Ipvs => netfilter::ipvs_half_closed(),
        _ => None,
    };
    limit(here.or(kind.facts().half_closed), timeout)
}

/// The same where no hop is known.
pub(crate) fn half_closed_by_default(timeout: Duration) -> Duration {
    limit(None, timeout)
}

/// Never longer than that of an established connection.
fn limit(known: Option<Duration>, timeout: Duration) -> Duration {
    let share = || (timeout.min(ESTABLISHED) * 60 / 350).clamp(MIN_LIMIT, USUAL);
    known.unwrap_or_else(share).min(timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_and_what_is_not() {
        let table = [
            (None, 432_000, 60_000),
            (None, 350, 60_000),
            (None, 35, 6000),
            (None, 4, 2000),
            (None, 2, 2000),
            (Some(60), 432_000, 60_000),
            (Some(600), 432_000, 600_000),
            (Some(60), 30, 30_000),
            (Some(1), 30, 1000),
        ];
        for (known, timeout_s, expected_ms) in table {
            let found = limit(known.map(Duration::from_secs), Duration::from_secs(timeout_s));
            assert_eq!(found.as_millis(), expected_ms, "{known:?} {timeout_s}");
        }
    }

    #[test]
    fn no_kind_keeps_half_closed_connections_longer() {
        for kind in Kind::ALL {
            let timeout = kind.facts().default.unwrap_or(Duration::from_secs(60));
            let found = half_closed(kind, timeout);
            assert!(found <= timeout && !found.is_zero(), "{kind} {found:?}");
        }
    }
}
