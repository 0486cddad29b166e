//! Applications, and configured keepalive, that conflict with the hops on their path.

use std::time::Duration;

use super::{Evidence, Finding, cure, latest, outlives};
use crate::{
    config::Application,
    hop::Scope,
    rules::{
        policy::{Mode, Policy},
        timing::derive_with_reasons,
    },
    units::exact,
};

pub(super) fn findings(facts: &Evidence<'_>) -> Vec<Finding> {
    let applications = || facts.config.applications.iter();
    let mut found: Vec<_> = applications().filter_map(|one| idle_or_late(facts, one)).collect();
    found.extend(applications().filter_map(|one| user_timeout(facts, one)));
    found.extend(attach_late(facts));
    found.extend(attach_user_timeout(facts));
    let policies = || (1..).zip(&facts.config.policies);
    found.extend(policies().filter_map(|(number, policy)| policy_late(facts, number, policy)));
    found
}

/// An application that keeps connections beyond the shortest limit, with no
/// keepalive or one that comes too late.
fn idle_or_late(facts: &Evidence<'_>, application: &Application) -> Option<Finding> {
    let hop = facts.shortest(&application.scope).filter(|hop| outlives(application, hop.timeout))?;
    let (name, limit) = (&application.name, exact(hop.timeout));
    let kept = application.idle.map_or_else(|| "for good".to_owned(), |idle| format!("for {}", exact(idle)));
    let set = format!("let {name} close connections that are idle for less than {limit}; or {}", cure(hop.timeout));
    let location = format!("{name}: {}; {}: {}", application.source, hop.name, hop.source);
    match facts.longest_idle(application) {
        None => Some(Finding {
            code: "app-outlives-hop",
            what: format!("{name} keeps idle connections {kept}, {} ({}) only for {limit}", hop.name, hop.kind),
            why: format!(
                "{name} takes connections from its pool that {} has dropped: the next request on them fails",
                hop.name
            ),
            set,
            location,
        }),
        Some(longest) if longest >= hop.timeout => Some(Finding {
            code: "keepalive-late",
            what: format!(
                "keepalive of {name} leaves up to {} of idle time, {} ({}) waits only {limit}",
                exact(longest),
                hop.name,
                hop.kind
            ),
            why: format!("the connection is dropped before the probe that would keep it; {name} keeps it {kept}"),
            set,
            location,
        }),
        Some(_) => None,
    }
}

fn user_timeout(facts: &Evidence<'_>, application: &Application) -> Option<Finding> {
    let user_timeout = application.keepalive?.user_timeout?;
    let (idle, interval) = facts.times(application)?;
    short_user_timeout(&application.name, user_timeout, idle, interval, application.source.to_string())
}

/// With `TCP_USER_TIMEOUT` the kernel gives a connection up at the first timer
/// after an unanswered probe by which that much time is over
/// (`tcp_keepalive_timer` in `net/ipv4/tcp_timer.c`). The second probe is due
/// at idle + interval.
fn short_user_timeout(
    name: &str,
    user_timeout: Duration,
    idle: Duration,
    interval: Duration,
    location: String,
) -> Option<Finding> {
    let second_probe = latest(idle) + latest(interval);
    (user_timeout <= second_probe).then(|| Finding {
        code: "user-timeout-short",
        what: format!(
            "TCP_USER_TIMEOUT of {name} is {}, its second keepalive probe may be due only after {}",
            exact(user_timeout), exact(second_probe)
        ),
        why: "one lost probe ends a healthy connection, since the time is over before a second one is sent".to_owned(),
        set: format!(
            "TCP_USER_TIMEOUT to more than {}, best to idle + interval x probes; or leave it out, which leaves it to the number of probes",
            exact(second_probe)
        ),
        location,
    })
}

/// `idle` or `interval` of the file, beyond a limit.
fn attach_late(facts: &Evidence<'_>) -> Option<Finding> {
    let attach = &facts.config.attach;
    let longest = latest(attach.idle.into_iter().chain(attach.interval).max()?);
    let whose = "`idle` and `interval` of attach";
    late(facts, "keepalive that `attach` is to set", longest, &Scope::ANYWHERE, whose, "`idle` and `interval`")
}

/// The values of a policy, beyond a limit on the path of its flows. The limit
/// stays what it is, so these flows are exposed.
fn policy_late(facts: &Evidence<'_>, number: usize, policy: &Policy) -> Option<Finding> {
    let (idle, interval) = explicit(policy)?;
    let (what, whose) = (format!("keepalive of policy {number}"), format!("`keepalive` of policy {number}"));
    late(facts, &what, latest(idle.max(interval)), &policy.scope, &whose, "`keepalive`")
}

/// Idle time and interval that a policy names.
fn explicit(policy: &Policy) -> Option<(Duration, Duration)> {
    let Mode::Explicit(keepalive) = policy.keepalive else { return None };
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    Some((seconds(keepalive.idle_s), seconds(keepalive.interval_s)))
}

/// Keepalive that leaves more idle time than the shortest limit on its path.
/// `whose` are the keys that say so, `keys` those that can be omitted.
fn late(
    facts: &Evidence<'_>,
    what: &str,
    longest: Duration,
    scope: &Scope,
    whose: &str,
    keys: &str,
) -> Option<Finding> {
    let hop = facts.shortest(scope).filter(|hop| longest >= hop.timeout)?;
    let limit = exact(hop.timeout);
    Some(Finding {
        code: "keepalive-late",
        what: format!(
            "{what} leaves up to {} of idle time, {} ({}) waits only {limit}",
            exact(longest),
            hop.name,
            hop.kind
        ),
        why: "the connection is dropped before the probe that would keep it".to_owned(),
        set: format!("leave {keys} out, so that the values follow from the limit; or {}", cure(hop.timeout)),
        location: format!("{whose}; {}: {}", hop.name, hop.source),
    })
}

fn attach_user_timeout(facts: &Evidence<'_>) -> Option<Finding> {
    let attach = &facts.config.attach;
    let limit = facts.shortest(&Scope::ANYWHERE).map(|hop| hop.timeout).or(attach.timeout)?;
    let derived = derive_with_reasons(limit).ok()?.timing;
    let idle = attach.idle.unwrap_or(Duration::from_secs(derived.idle_s.into()));
    let interval = attach.interval.unwrap_or(Duration::from_secs(derived.interval_s.into()));
    short_user_timeout("attach", attach.user_timeout?, idle, interval, "`user_timeout` of attach".to_owned())
}
