//! Whether timeouts fit each other along the way of the flows.
//!
//! Pure: from what is known to what is wrong with it. Keepalive below the
//! shortest limit makes most of this moot, and closing idle connections in the
//! application below all of them does so too ("Best Practices for TCP
//! Connection Management on EC2"); the findings say which of both is missing.

mod applications;
mod hops;
mod local;

use std::time::Duration;

use injector_common::timer::latest_ms;
use serde::Serialize;

use crate::{
    config::{Application, Config},
    discovery::local::Host,
    hop::{Hop, MIN_LIMIT, Scope},
    rules::timing::derive_with_reasons,
};

/// Something that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Stable identifier, for programs.
    pub code: &'static str,
    /// What was found.
    pub what: String,
    /// Why that breaks connections.
    pub why: String,
    /// What to set.
    pub set: String,
    /// Where that is.
    #[serde(rename = "where")]
    pub location: String,
}

/// What is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence<'a> {
    /// Hops, applications, and what `attach` is to do.
    pub config: &'a Config,
    /// What the host says.
    pub host: &'a Host,
}

/// Everything that does not fit, in the order in which it is best mended.
pub(crate) fn findings(facts: &Evidence<'_>) -> Vec<Finding> {
    [hops::findings(facts), applications::findings(facts), local::findings(facts)].concat()
}

impl Evidence<'_> {
    /// The hop with the shortest limit that keepalive can hold off, among
    /// those that share a flow with `place`; of two alike, the first.
    fn shortest(&self, scope: &Scope) -> Option<&Hop> {
        let on_path = self.config.hops.iter().filter(|hop| hop.scope.may_share_a_flow(scope));
        on_path.filter(|hop| hop.kind.facts().keepalive).min_by_key(|hop| hop.timeout)
    }

    /// Longest idle time that `application` leaves on the wire when it sets
    /// keepalive; sysctls stand in for what it does not set.
    fn longest_idle(&self, application: &Application) -> Option<Duration> {
        let (idle, interval) = self.times(application)?;
        Some(latest(idle.max(interval)))
    }

    /// Idle time and interval of the keepalive that `application` sets.
    fn times(&self, application: &Application) -> Option<(Duration, Duration)> {
        let own = application.keepalive?;
        let sysctl = self.host.tcp_keepalive;
        let or_sysctl = |own: Option<Duration>, sysctl: Option<u32>, default: u64| {
            own.unwrap_or_else(|| Duration::from_secs(sysctl.map_or(default, u64::from)))
        };
        // The kernel's own: TCP_KEEPALIVE_TIME and TCP_KEEPALIVE_INTVL in include/net/tcp.h.
        let idle = or_sysctl(own.idle, sysctl.map(|sysctl| sysctl.idle_s), 7200);
        let interval = or_sysctl(own.interval, sysctl.map(|sysctl| sysctl.interval_s), 75);
        Some((idle, interval))
    }
}

/// Latest moment at which the kernel's timer fires that was set to `time`, in whole seconds.
fn latest(time: Duration) -> Duration {
    let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    Duration::from_secs(latest_ms(seconds).div_ceil(1000))
}

/// Whether `application` keeps connections as idle as `limit`, or for good.
fn outlives(application: &Application, limit: Duration) -> bool {
    application.idle.is_none_or(|idle| idle >= limit)
}

/// The keepalive that beats `limit`, as a cure: `keepalive of 240/30/9 (idle
/// 240s, interval 30s, 9 probes), which injector attach sets`.
fn cure(limit: Duration) -> String {
    let Ok(derived) = derive_with_reasons(limit.max(MIN_LIMIT)) else { return "a shorter limit".to_owned() };
    let timing = derived.timing;
    format!(
        "keepalive with idle {}s, interval {}s and {} probes, as `injector attach` sets",
        timing.idle_s, timing.interval_s, timing.probes
    )
}

#[cfg(test)]
mod tests;
