//! Resolves the values of a file, and checks them against ranges and each other.

use std::{collections::HashMap, path::Path, time::Duration};

use toml::Spanned;

use super::{
    Application, ApplicationKeepalive, Config, agent,
    error::{LineStarts, at},
    policies,
    raw::{RawApplication, RawFile, RawHop, RawKeepalive},
    values::{Port, Prefixes, Time},
};
use crate::{
    bpf::pins::PinDir,
    discovery,
    error::{self, ConfigError},
    hop::{Conflict, Direction, Ends, Hop, HopError, MAX_LIMIT, Scope, Source, check_name, conflicts},
    rules::settings::{self, Settings},
};

/// A complaint about the byte at an offset.
type Complaint = (usize, String);

/// Checks a whole file.
pub(super) fn resolve(raw: &RawFile, path: &Path, text: &str) -> Result<Config, ConfigError> {
    let lines = LineStarts::of(text);
    let line = |offset: usize| lines.line(offset);
    let resolved = || {
        let attach = attach(raw)?;
        let agent = agent::resolve(raw)?;
        let hops: Vec<_> = raw.hop.iter().map(|hop| self::hop(hop, path, line)).collect::<Result<_, _>>()?;
        check_conflicts(&hops, &raw.hop, line)?;
        let policies = raw.policy.iter().map(policies::policy).collect::<Result<_, _>>()?;
        let applications: Vec<_> =
            raw.application.iter().map(|one| application(one, path, line)).collect::<Result<_, _>>()?;
        check_application_names(&raw.application, line)?;
        Ok(Config { attach, agent, policies, hops, applications })
    };
    resolved().map_err(|(offset, message)| at(path, text, offset, message))
}

fn attach(raw: &RawFile) -> Result<Settings, Complaint> {
    let settings = Settings {
        cgroup: raw.cgroup.as_ref().map(|path| path.get_ref().0.clone().into()),
        name: raw.name.as_ref().map(|name| name.get_ref().0.clone()),
        timeout: time(raw.timeout.as_ref()),
        idle: time(raw.idle.as_ref()),
        interval: time(raw.interval.as_ref()),
        probes: raw.probes.as_ref().map(|probes| probes.get_ref().0),
        user_timeout: time(raw.user_timeout.as_ref()),
        warn: raw.warn.as_ref().map(|warn| *warn.get_ref()),
        on_conflict: raw.on_conflict.as_ref().map(|rule| *rule.get_ref()),
        track: raw.track.as_ref().map(|track| *track.get_ref()),
        loopback: raw.loopback,
        discover: raw.discover.as_ref().map(|discover| *discover.get_ref()),
        discover_interval: time(raw.discover_interval.as_ref()),
    };
    if let Some(cgroup) = raw.cgroup.as_ref().filter(|cgroup| cgroup.get_ref().0.is_empty()) {
        return Err((cgroup.span().start, "the path is empty: expected a cgroup, \"/\" for the whole host".to_owned()));
    }
    let named = settings.name.as_deref().map_or(Ok(()), |name| PinDir::named(name).map(drop));
    let checked = named
        .and_then(|()| settings::policy(&settings).map(drop))
        .and_then(|()| discovery::interval(&settings).map(drop));
    checked.map_err(|error| {
        let offsets = [
            ("--name", start(raw.name.as_ref())),
            ("--timeout", start(raw.timeout.as_ref())),
            ("--idle", start(raw.idle.as_ref())),
            ("--interval", start(raw.interval.as_ref())),
            ("--probes", start(raw.probes.as_ref())),
            ("--user-timeout", start(raw.user_timeout.as_ref())),
            ("--warn", start(raw.warn.as_ref())),
            ("--discover", start(raw.discover.as_ref())),
            ("--discover-interval", start(raw.discover_interval.as_ref())),
        ];
        by_option(&error, &offsets)
    })?;
    Ok(settings)
}

/// The position of the value that an option of the same name would refuse.
fn by_option(error: &error::Error, offsets: &[(&str, usize)]) -> Complaint {
    let error::Error::BadValue { what, value, expected } = error else { return (0, error.to_string()) };
    let offset = offsets.iter().find(|(option, _)| option == what).map_or(0, |(_, offset)| *offset);
    let key = what.trim_start_matches("--").replace('-', "_");
    (offset, format!("{key} is {value}: {expected}"))
}

fn hop(raw: &RawHop, path: &Path, line: impl Fn(usize) -> usize) -> Result<Hop, Complaint> {
    let scope = scope(raw.remote.as_ref(), raw.port.as_ref(), raw.local.as_ref(), raw.direction.as_ref())?;
    let kind = *raw.kind.get_ref();
    let value = start_or(raw.timeout.as_ref(), raw.kind.span().start);
    let source = Source::File { path: path.to_owned(), line: line(value) };
    Hop::new(&raw.name.get_ref().0, kind, time(raw.timeout.as_ref()), scope, source).map_err(|refused| {
        let offset = if matches!(refused, HopError::Name(_)) { raw.name.span().start } else { value };
        let message = match &refused {
            HopError::NoTimeout(kind) => {
                format!("a hop of kind {kind} has no default timeout: add timeout = \"60s\"")
            }
            _ => refused.to_string(),
        };
        (offset, message)
    })
}

pub(super) fn scope(
    remote: Option<&Spanned<Prefixes>>,
    port: Option<&Spanned<Port>>,
    local: Option<&Spanned<Prefixes>>,
    direction: Option<&Spanned<Direction>>,
) -> Result<Scope, Complaint> {
    let ends = match (remote, local, port) {
        (None, None, None) => Ends::Any,
        (Some(remote), None, port) => {
            Ends::Remote { prefixes: remote.get_ref().0.clone(), port: port.map(|port| port.get_ref().0) }
        }
        (Some(_), Some(local), _) => {
            let message = "a hop is at its peers or at our own addresses, not both: keep `remote` or `local`";
            return Err((local.span().start, message.to_owned()));
        }
        (None, _, Some(port)) => {
            let message = "`port` is the peer's: add `remote`, \"0.0.0.0/0\" for every IPv4 peer";
            return Err((port.span().start, message.to_owned()));
        }
        (None, Some(local), None) => Ends::Local { prefixes: local.get_ref().0.clone() },
    };
    Ok(Scope { ends, direction: direction.map(|direction| *direction.get_ref()) })
}

fn check_conflicts(hops: &[Hop], raw: &[RawHop], line: impl Fn(usize) -> usize) -> Result<(), Complaint> {
    let Some(conflict) = conflicts(hops).into_iter().next() else { return Ok(()) };
    let (first, second) = conflict.hops();
    let offset = match conflict {
        Conflict::Name { .. } => raw[second].name.span().start,
        _ => start_or(raw[second].timeout.as_ref(), raw[second].kind.span().start),
    };
    Err((offset, format!("{conflict} (the first one is in line {})", line(raw[first].name.span().start))))
}

fn application(raw: &RawApplication, path: &Path, line: impl Fn(usize) -> usize) -> Result<Application, Complaint> {
    let name = &raw.name.get_ref().0;
    if check_name(name).is_err() {
        let message =
            format!("invalid name {name:?} for an application: expected 1 to 63 letters, digits, '-', '_' or '.'");
        return Err((raw.name.span().start, message));
    }
    if let Some(idle) = raw.idle.as_ref().filter(|idle| idle.get_ref().0.is_zero()) {
        let message = "idle is 0s: write how long it keeps idle connections, or omit it if it never closes them";
        return Err((idle.span().start, message.to_owned()));
    }
    Ok(Application {
        name: name.clone(),
        idle: time(raw.idle.as_ref()),
        keepalive: raw.keepalive.as_ref().map(keepalive).transpose()?,
        scope: scope(raw.remote.as_ref(), raw.port.as_ref(), None, None)?,
        source: Source::File { path: path.to_owned(), line: line(raw.name.span().start) },
    })
}

/// Checked as the options of `attach` are, under the longest limit there is.
pub(super) fn keepalive(raw: &RawKeepalive) -> Result<ApplicationKeepalive, Complaint> {
    let keepalive = ApplicationKeepalive {
        idle: time(raw.idle.as_ref()),
        interval: time(raw.interval.as_ref()),
        probes: raw.probes.as_ref().map(|probes| probes.get_ref().0),
        user_timeout: time(raw.user_timeout.as_ref()),
    };
    let ApplicationKeepalive { idle, interval, probes, user_timeout } = keepalive;
    let settings = Settings { idle, interval, probes, user_timeout, ..Settings::default() };
    let longest = settings::limit(MAX_LIMIT);
    longest.and_then(|limit_ms| settings::parameters(&settings, limit_ms)).map_err(|error| {
        let offsets = [
            ("--idle", start(raw.idle.as_ref())),
            ("--interval", start(raw.interval.as_ref())),
            ("--probes", start(raw.probes.as_ref())),
            ("--user-timeout", start(raw.user_timeout.as_ref())),
        ];
        by_option(&error, &offsets)
    })?;
    Ok(keepalive)
}

fn check_application_names(raw: &[RawApplication], line: impl Fn(usize) -> usize) -> Result<(), Complaint> {
    let mut names = HashMap::new();
    for one in raw {
        let (name, offset) = (&one.name.get_ref().0, one.name.span().start);
        if let Some(first) = names.insert(name, offset) {
            let message = format!(
                "there is another application with the name {name:?} in line {}: give each its own",
                line(first)
            );
            return Err((offset, message));
        }
    }
    Ok(())
}

fn time(value: Option<&Spanned<Time>>) -> Option<Duration> {
    value.map(|time| time.get_ref().0)
}

/// The position of a value.
fn start<T>(value: Option<&Spanned<T>>) -> usize {
    start_or(value, 0)
}

pub(super) fn start_or<T>(value: Option<&Spanned<T>>, otherwise: usize) -> usize {
    value.map_or(otherwise, |value| value.span().start)
}
