//! This host against the hops.

use std::time::Duration;

use super::{Evidence, Finding, cure, latest, outlives};
use crate::{
    config::Application,
    discovery::local::{CONNTRACK_SYSCTL, Conntrack, Ena, TcpKeepalive},
    hop::{Hop, Kind, Scope},
    rules::timing::{Timing, derive},
    units::exact,
};

/// Share of the connection tracking table from which it counts as nearly full.
const NEARLY_FULL_PERCENT: u64 = 90;

pub(super) fn findings(facts: &Evidence<'_>) -> Vec<Finding> {
    let host = facts.host;
    let shortest = facts.shortest(&Scope::ANYWHERE);
    let late = shortest.zip(host.tcp_keepalive).and_then(|(hop, sysctl)| sysctl_late(facts, hop, sysctl));
    let short = shortest.zip(host.nf_conntrack).and_then(|(hop, conntrack)| conntrack_short(facts, hop, conntrack));
    let full = host.nf_conntrack.and_then(conntrack_full);
    late.into_iter().chain(short).chain(full).chain(host.ena.iter().filter_map(ena_exceeded)).collect()
}

fn sysctl_late(facts: &Evidence<'_>, hop: &Hop, sysctl: TcpKeepalive) -> Option<Finding> {
    let applications = &facts.config.applications;
    let is_relied_on = applications.is_empty() || applications.iter().any(|one| relies_on_sysctl(facts, one));
    if latest(sysctl.longest_time()) < hop.timeout || !is_relied_on {
        return None;
    }
    let Timing { idle_s, interval_s, probes } = derive(hop.timeout_ms() / 1000);
    let limit = exact(hop.timeout);
    Some(Finding {
        code: "sysctl-late",
        what: format!(
            "keepalive of this host starts after {}s and repeats every {}s, {} ({}) waits only {limit}",
            sysctl.idle_s, sysctl.interval_s, hop.name, hop.kind
        ),
        why: "an application that switches keepalive on and leaves its times alone gets these: its connections are \
              dropped before the first probe"
            .to_owned(),
        set: format!(
            "sysctl -w net.ipv4.tcp_keepalive_time={idle_s} net.ipv4.tcp_keepalive_intvl={interval_s} \
             net.ipv4.tcp_keepalive_probes={probes}; or `injector attach`, which needs no keepalive in the application"
        ),
        location: "net.ipv4.tcp_keepalive_time and tcp_keepalive_intvl of this network namespace".to_owned(),
    })
}

/// Whether its connections last beyond the limit, with times that the sysctls
/// decide.
fn relies_on_sysctl(facts: &Evidence<'_>, application: &Application) -> bool {
    let is_open = facts.shortest(&application.scope).is_some_and(|hop| outlives(application, hop.timeout));
    is_open && application.keepalive.is_none_or(|own| own.idle.is_none() || own.interval.is_none())
}

/// Connection tracking of this host that no hop accounts for.
fn conntrack_short(facts: &Evidence<'_>, hop: &Hop, conntrack: Conntrack) -> Option<Finding> {
    let timeout = Duration::from_secs(conntrack.tcp_established_s.into());
    let is_known = facts.config.hops.iter().any(|hop| hop.kind == Kind::NfConntrack && hop.timeout <= timeout);
    (timeout < hop.timeout && !is_known).then(|| Finding {
        code: "conntrack-short",
        what: format!(
            "connection tracking of this host drops connections after {}, before {} ({}) after {}",
            exact(timeout),
            hop.name,
            hop.kind,
            exact(hop.timeout)
        ),
        why: "where a firewall or NAT of this host uses it, packets of expired connections are dropped or \
              lose their translation"
            .to_owned(),
        set: format!(
            "{CONNTRACK_SYSCTL} to {} or more; or --hop conntrack=nf-conntrack:{}, so that it counts; or {}",
            hop.timeout.as_secs(),
            exact(timeout),
            cure(timeout)
        ),
        location: format!("{CONNTRACK_SYSCTL} of this network namespace"),
    })
}

fn conntrack_full(conntrack: Conntrack) -> Option<Finding> {
    let Conntrack { count, max, .. } = conntrack;
    (max > 0 && count.saturating_mul(100) >= max.saturating_mul(NEARLY_FULL_PERCENT)).then(|| Finding {
        code: "conntrack-full",
        what: format!("the connection tracking table of this host is nearly full: {count} of {max} entries"),
        why: "once it is full, the kernel drops the packets that would open new connections".to_owned(),
        set: format!(
            "net.netfilter.nf_conntrack_max to more; or {CONNTRACK_SYSCTL} to less, so that dead entries go sooner"
        ),
        location: "net.netfilter.nf_conntrack_max of this host".to_owned(),
    })
}

fn ena_exceeded(ena: &Ena) -> Option<Finding> {
    let exceeded = ena.conntrack_allowance_exceeded.filter(|&count| count > 0)?;
    let left = ena.conntrack_allowance_available.map(|count| format!(", {count} connections left")).unwrap_or_default();
    Some(Finding {
        code: "ena-allowance-exceeded",
        what: format!("{} dropped {exceeded} packets since it started, as no more connections could be tracked{left}", ena.interface),
        why: "the instance's connection tracking is full, often of connections that were never closed: new ones fail".to_owned(),
        set: "TcpEstablishedTimeout of the interface to less, so that dead connections go sooner; close idle connections \
              in the applications; or a larger instance type"
            .to_owned(),
        location: format!("conntrack_allowance_exceeded of {} (ethtool -S {})", ena.interface, ena.interface),
    })
}
