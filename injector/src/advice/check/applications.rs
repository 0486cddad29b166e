//! Applications, and keepalive that is asked for, that don't fit the hops on their way.

use std::time::Duration;

use super::{Facts, Finding, cure, outlives};
use crate::{
    config::Application,
    hop::Place,
    rules::{
        policy::{Mode, Policy},
        timing::derive_with_reasons,
    },
    units::exact,
};

pub(super) fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    let applications = || facts.config.applications.iter();
    let mut found: Vec<_> = applications().filter_map(|one| idle_or_late(facts, one)).collect();
    found.extend(applications().filter_map(|one| user_timeout(facts, one)));
    found.extend(attach_late(facts));
    found.extend(attach_user_timeout(facts));
    let policies = || (1..).zip(&facts.config.policies);
    found.extend(policies().filter_map(|(number, policy)| policy_late(facts, number, policy)));
    found.extend(policies().filter_map(|(number, policy)| policy_user_timeout(number, policy)));
    found
}

/// An application that keeps connections beyond the shortest limit, with no
/// keepalive or one that comes too late.
fn idle_or_late(facts: &Facts<'_>, application: &Application) -> Option<Finding> {
    let hop = facts.shortest(&application.place).filter(|hop| outlives(application, hop.timeout))?;
    let (name, limit) = (&application.name, exact(hop.timeout));
    let kept = application.idle.map_or_else(|| "for good".to_owned(), |idle| format!("for {}", exact(idle)));
    let set = format!("let {name} close connections that are idle for less than {limit}; or {}", cure(hop.timeout));
    let location = format!("{name}: {}; {}: {}", application.source, hop.name, hop.source);
    match facts.silence(application) {
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
        Some(silence) if silence >= hop.timeout => Some(Finding {
            code: "keepalive-late",
            what: format!(
                "keepalive of {name} leaves {} of silence, {} ({}) waits only {limit}",
                exact(silence),
                hop.name,
                hop.kind
            ),
            why: format!("the connection is forgotten before the probe that would keep it; {name} keeps it {kept}"),
            set,
            location,
        }),
        Some(_) => None,
    }
}

fn user_timeout(facts: &Facts<'_>, application: &Application) -> Option<Finding> {
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
    let second_probe = idle + interval;
    (user_timeout <= second_probe).then(|| Finding {
        code: "user-timeout-short",
        what: format!(
            "TCP_USER_TIMEOUT of {name} is {}, its second keepalive probe is due after {}",
            exact(user_timeout), exact(second_probe)
        ),
        why: "one lost probe ends a connection that is well, since the time is over before a second one is sent".to_owned(),
        set: format!(
            "TCP_USER_TIMEOUT to more than {}, best to idle + interval x probes; or leave it out, which leaves it to the number of probes",
            exact(second_probe)
        ),
        location,
    })
}

/// `idle` or `interval` of the file, beyond a limit.
fn attach_late(facts: &Facts<'_>) -> Option<Finding> {
    let attach = &facts.config.attach;
    let silence = attach.idle.into_iter().chain(attach.interval).max()?;
    let whose = "`idle` and `interval` of attach";
    late(facts, "keepalive that `attach` is to set", silence, &Place::ANYWHERE, whose, "`idle` and `interval`")
}

/// The values of a policy, beyond a limit on the way of its flows. The limit
/// stays what it is, so these flows are exposed.
fn policy_late(facts: &Facts<'_>, number: usize, policy: &Policy) -> Option<Finding> {
    let (idle, interval, _) = explicit(policy)?;
    let (what, whose) = (format!("keepalive of policy {number}"), format!("`keepalive` of policy {number}"));
    late(facts, &what, idle.max(interval), &policy.place, &whose, "`keepalive`")
}

fn policy_user_timeout(number: usize, policy: &Policy) -> Option<Finding> {
    let (idle, interval, user_timeout) = explicit(policy)?;
    let location = format!("`keepalive` of policy {number}");
    short_user_timeout(&format!("policy {number}"), user_timeout?, idle, interval, location)
}

/// Idle time, interval and user timeout that a policy names.
fn explicit(policy: &Policy) -> Option<(Duration, Duration, Option<Duration>)> {
    let Mode::Explicit(keepalive) = policy.keepalive else { return None };
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let user_timeout = Duration::from_millis(keepalive.user_timeout_ms.into());
    Some((
        seconds(keepalive.idle_s),
        seconds(keepalive.interval_s),
        Some(user_timeout).filter(|timeout| !timeout.is_zero()),
    ))
}

/// Keepalive that leaves a silence longer than the shortest limit on its way.
/// `whose` are the keys that say so, `keys` those that can be left out.
fn late(facts: &Facts<'_>, what: &str, silence: Duration, place: &Place, whose: &str, keys: &str) -> Option<Finding> {
    let hop = facts.shortest(place).filter(|hop| silence >= hop.timeout)?;
    let limit = exact(hop.timeout);
    Some(Finding {
        code: "keepalive-late",
        what: format!("{what} leaves {} of silence, {} ({}) waits only {limit}", exact(silence), hop.name, hop.kind),
        why: "the connection is forgotten before the probe that would keep it".to_owned(),
        set: format!("leave {keys} out, so that the values follow from the limit; or {}", cure(hop.timeout)),
        location: format!("{whose}; {}: {}", hop.name, hop.source),
    })
}

fn attach_user_timeout(facts: &Facts<'_>) -> Option<Finding> {
    let attach = &facts.config.attach;
    let limit = facts.shortest(&Place::ANYWHERE).map(|hop| hop.timeout).or(attach.timeout)?;
    let derived = derive_with_reasons(limit).ok()?.timing;
    let idle = attach.idle.unwrap_or(Duration::from_secs(derived.idle_s.into()));
    let interval = attach.interval.unwrap_or(Duration::from_secs(derived.interval_s.into()));
    short_user_timeout("attach", attach.user_timeout?, idle, interval, "`user_timeout` of attach".to_owned())
}
