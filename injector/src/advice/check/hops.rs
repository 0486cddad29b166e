//! Hops that don't fit each other.

use std::{collections::BTreeSet, time::Duration};

use super::{Evidence, Finding, cure, outlives};
use crate::{
    hop::{Direction, Hop, Kind, Range},
    units::exact,
};

pub(super) fn findings(facts: &Evidence<'_>) -> Vec<Finding> {
    let hops = &facts.config.hops;
    let is_eni = |hop: &&Hop| hop.kind == Kind::Eni;
    let balancers = hops.iter().filter(|hop| setting(hop.kind).is_some());
    let mut found: Vec<_> = balancers
        .flat_map(|balancer| hops.iter().filter(is_eni).filter_map(|eni| outlives_eni(balancer, eni)))
        .collect();
    found.extend(mixed_enis(&hops.iter().filter(is_eni).collect::<Vec<_>>()));
    found.extend(hops.iter().filter_map(|hop| layer7(facts, hop)));
    found
}

/// What keeps a connection open by itself, and the setting of its timeout.
const fn setting(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::NlbTcp | Kind::Gwlb => Some("tcp.idle_timeout.seconds of the listener"),
        Kind::NlbTls => Some("a TCP listener, whose tcp.idle_timeout.seconds can be set,"),
        Kind::Alb => Some("idle_timeout.timeout_seconds of the load balancer"),
        Kind::Clb => Some("ConnectionSettings.IdleTimeout of the load balancer"),
        Kind::Envoy => Some("idle_timeout of the TCP proxy"),
        _ => None,
    }
}

/// The example of "Best Practices for TCP Connection Management on EC2": the
/// load balancer at 1800 s, the interface at 350 s.
fn outlives_eni(balancer: &Hop, eni: &Hop) -> Option<Finding> {
    if balancer.timeout <= eni.timeout || !balancer.scope.may_share_a_flow(&eni.scope) {
        return None;
    }
    let (longer, shorter) = (exact(balancer.timeout), exact(eni.timeout));
    let (name, setting) = (&balancer.name, setting(balancer.kind)?);
    Some(Finding {
        code: "lb-outlives-eni",
        what: format!(
            "{name} ({}) keeps an idle connection for {longer}, {} (eni) drops it after {shorter}",
            balancer.kind, eni.name
        ),
        why: format!(
            "after {shorter} without a packet the network interface silently drops later packets, while {name} has \
             the connection open: it looks alive and fails at the next request"
        ),
        set: format!(
            "{setting} to {shorter} or less, or TcpEstablishedTimeout of the interface to more than {longer}; or {}",
            cure(eni.timeout)
        ),
        location: format!("{name}: {}; {}: {}", balancer.source, eni.name, eni.source),
    })
}

/// Instances of several Nitro generations, each with its own default.
fn mixed_enis(enis: &[&Hop]) -> Option<Finding> {
    let timeouts: BTreeSet<Duration> = enis.iter().map(|eni| eni.timeout).collect();
    let shortest = *timeouts.first().filter(|_| timeouts.len() > 1)?;
    let list = |text: &dyn Fn(&Hop) -> String| enis.iter().map(|eni| text(eni)).collect::<Vec<_>>().join(", ");
    Some(Finding {
        code: "eni-mixed",
        what: format!(
            "network interfaces differ in their timeout: {}",
            list(&|eni| format!("{} {}", eni.name, exact(eni.timeout)))
        ),
        why: "Nitro v6 drops idle connections after 350s where nothing is set, older generations after 432000s: an \
              application that lives on one of them breaks when it is moved to the other"
            .to_owned(),
        set: format!("TcpEstablishedTimeout to the same value on all of them; or {}", cure(shortest)),
        location: list(&|eni| format!("{}: {}", eni.name, eni.source)),
    })
}

/// A timer that keepalive does not hold off.
fn layer7(facts: &Evidence<'_>, hop: &Hop) -> Option<Finding> {
    let is_target = matches!(hop.kind, Kind::Alb | Kind::Clb) && hop.scope.direction == Some(Direction::Passive);
    match hop.kind.facts().keepalive {
        true => None,
        false if is_target => closes_before(facts, hop),
        false => closed_by(facts, hop),
    }
}

/// A timer on the path of our own connections, unless all applications close
/// them before it does.
fn closed_by(facts: &Evidence<'_>, hop: &Hop) -> Option<Finding> {
    let (name, timeout) = (&hop.name, exact(hop.timeout));
    let behind = || facts.config.applications.iter().filter(|one| one.scope.may_share_a_flow(&hop.scope));
    let late: Vec<_> = behind().filter(|one| outlives(one, hop.timeout)).collect();
    if late.is_empty() && behind().next().is_some() {
        return None;
    }
    let names: Vec<_> = late.iter().map(|one| one.name.as_str()).collect();
    let of = if names.is_empty() { String::new() } else { format!(" of {}", names.join(", ")) };
    let bounds = match hop.kind.facts().range {
        Range::Fixed(_) => String::new(),
        range @ Range::Within(..) => format!(" ({})", range.bounds()),
    };
    Some(Finding {
        code: "layer7-timer",
        what: format!("keepalive does not help here: {name} closes at {timeout}"),
        why: format!(
            "{} counts payload only: a probe carries none, so {name} closes idle connections{of} nevertheless",
            hop.kind
        ),
        set: format!(
            "close idle connections in the application before {timeout}, or let it send something more often; or {} to more{bounds}",
            setting(hop.kind).unwrap_or("the timeout")
        ),
        location: format!("{name}: {}", hop.source),
    })
}

/// A server behind a load balancer, which closes connections that the balancer
/// still has in its pool: requests on them end in a 502. The balancer is to be
/// the first ("Connection idle timeout" in the guide of the Application Load
/// Balancer, and its namesake of the Classic one).
fn closes_before(facts: &Evidence<'_>, hop: &Hop) -> Option<Finding> {
    let behind = facts.config.applications.iter().filter(|one| one.scope.may_share_a_flow(&hop.scope));
    let (application, idle) = behind.filter_map(|one| Some((one, one.idle?))).find(|(_, idle)| *idle <= hop.timeout)?;
    let (name, server, timeout) = (&hop.name, &application.name, exact(hop.timeout));
    Some(Finding {
        code: "target-closes-first",
        what: format!(
            "{server} closes idle connections at {}, {name} ({}) in front of it at {timeout}",
            exact(idle),
            hop.kind
        ),
        why: format!("{name} may send a request on a connection that {server} is closing: the client gets an HTTP 502"),
        set: format!("idle timeout of {server} to more than {timeout}, so that {name} is the one that closes"),
        location: format!("{server}: {}; {name}: {}", application.source, hop.source),
    })
}
