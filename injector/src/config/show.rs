//! Writes a configuration as a file, with defaults filled in.

use std::time::Duration;

use ipnet::IpNet;
use toml::Value;

use super::{Agent, Application, ApplicationKeepalive, Config};
use crate::{
    hop::{Ends, Hop, Scope},
    host::cgroup::Pattern,
    rules::{
        policy::{Mode, Policy, Selector},
        settings::{DEFAULT_DISCOVER_INTERVAL, DEFAULT_TIMEOUT, DEFAULT_WARN, Settings},
        values::{Discover, OnConflict, Track},
    },
    units::exact,
};

/// Writes `config` as TOML. Comments say where the hops' timeouts come from,
/// and what their kinds are like.
pub fn to_toml(config: &Config) -> String {
    let mut text = settings(&config.attach);
    text += &agent(&config.agent);
    for one in &config.policies {
        text += &policy(one);
    }
    for hop in &config.hops {
        text += &self::hop(hop);
    }
    for one in &config.applications {
        text += &application(one);
    }
    text
}

fn settings(settings: &Settings) -> String {
    let Settings {
        cgroup,
        name,
        timeout,
        idle,
        interval,
        probes,
        user_timeout,
        warn,
        on_conflict,
        track,
        loopback,
        discover,
        discover_interval,
    } = settings;
    let mut text = String::new();
    line(&mut text, "cgroup", cgroup.as_ref().map(|path| quoted(&path.to_string_lossy())));
    line(&mut text, "name", name.as_deref().map(quoted));
    line(&mut text, "timeout", Some(time(timeout.unwrap_or(DEFAULT_TIMEOUT))));
    line(&mut text, "idle", idle.map(time));
    line(&mut text, "interval", interval.map(time));
    line(&mut text, "probes", probes.map(|probes| probes.to_string()));
    line(&mut text, "user_timeout", user_timeout.map(time));
    line(&mut text, "warn", Some(quoted(&warn.unwrap_or(DEFAULT_WARN).to_string())));
    line(&mut text, "on_conflict", Some(quoted(rule(on_conflict.unwrap_or_default()))));
    line(&mut text, "track", Some(quoted(source(track.unwrap_or_default()))));
    line(&mut text, "loopback", Some(loopback.unwrap_or_default().to_string()));
    line(&mut text, "discover", Some(quoted(cloud(discover.unwrap_or_default()))));
    line(&mut text, "discover_interval", Some(time(discover_interval.unwrap_or(DEFAULT_DISCOVER_INTERVAL))));
    text
}

fn agent(agent: &Agent) -> String {
    let Agent { cgroups, on_exit, log, pod_logs, pod_cgroups, allowed_hosts, adopt } = agent;
    let mut text = String::new();
    let cgroups: Vec<_> = cgroups.iter().map(Pattern::as_str).collect();
    line(&mut text, "cgroups", (!cgroups.is_empty()).then(|| texts(&cgroups)));
    line(&mut text, "on_exit", Some(quoted(on_exit.name())));
    line(&mut text, "log", Some(quoted(log.name())));
    line(&mut text, "pod_logs", Some(quoted(&pod_logs.to_string_lossy())));
    line(&mut text, "pod_cgroups", Some(texts(pod_cgroups.paths())));
    line(&mut text, "allowed_hosts", Some(texts(allowed_hosts)));
    line(&mut text, "adopt", Some(adopt.to_string()));
    text
}

fn policy(policy: &Policy) -> String {
    let Policy { selector, scope, keepalive, on_conflict, adopt } = policy;
    let Selector { cgroup, namespace, pod, container } = selector;
    let mut text = "\n[[policy]]\n".to_owned();
    line(&mut text, "cgroup", cgroup.as_ref().map(|pattern| quoted(pattern.as_str())));
    for (key, pattern) in [("namespace", namespace), ("pod", pod), ("container", container)] {
        line(&mut text, key, pattern.as_ref().map(|pattern| quoted(pattern.as_str())));
    }
    text += &self::scope(scope);
    line(&mut text, "keepalive", Some(mode(keepalive)));
    line(&mut text, "on_conflict", on_conflict.map(|on_conflict| quoted(rule(on_conflict))));
    line(&mut text, "adopt", adopt.map(|adopt| adopt.to_string()));
    text
}

fn mode(mode: &Mode) -> String {
    let seconds = |seconds: u32| Some(Duration::from_secs(seconds.into()));
    match mode {
        Mode::Derived => quoted("derived"),
        Mode::Exempt => quoted("exempt"),
        Mode::Explicit(values) => keepalive(&ApplicationKeepalive {
            idle: seconds(values.idle_s),
            interval: seconds(values.interval_s),
            probes: Some(values.probes),
            user_timeout: (values.user_timeout_ms > 0).then(|| Duration::from_millis(values.user_timeout_ms.into())),
        }),
    }
}

fn hop(hop: &Hop) -> String {
    let facts = hop.kind.facts();
    let mut text = format!("\n# timeout: {}; {} {} ({})\n", hop.source, hop.kind, facts.range, facts.source);
    let keepalive = if facts.keepalive { "keepalive counts" } else { "keepalive does not count" };
    text.extend(["# at its end: ", facts.expiry.name(), "; ", keepalive, "\n[[hop]]\n"]);
    line(&mut text, "name", Some(quoted(&hop.name)));
    line(&mut text, "kind", Some(quoted(hop.kind.name())));
    line(&mut text, "timeout", Some(time(hop.timeout)));
    text + &scope(&hop.scope)
}

fn application(application: &Application) -> String {
    let mut text = "\n[[application]]\n".to_owned();
    line(&mut text, "name", Some(quoted(&application.name)));
    line(&mut text, "idle", application.idle.map(time));
    line(&mut text, "keepalive", application.keepalive.as_ref().map(keepalive));
    text + &scope(&application.scope)
}

fn scope(scope: &Scope) -> String {
    let mut text = String::new();
    match &scope.ends {
        Ends::Any => {}
        Ends::Remote { prefixes, port } => {
            line(&mut text, "remote", Some(list(prefixes)));
            line(&mut text, "port", port.map(|port| port.to_string()));
        }
        Ends::Local { prefixes } => line(&mut text, "local", Some(list(prefixes))),
    }
    line(&mut text, "direction", scope.direction.map(|direction| quoted(direction.name())));
    text
}

fn keepalive(keepalive: &ApplicationKeepalive) -> String {
    let ApplicationKeepalive { idle, interval, probes, user_timeout } = *keepalive;
    let given: Vec<_> = [
        ("idle", idle.map(time)),
        ("interval", interval.map(time)),
        ("probes", probes.map(|probes| probes.to_string())),
        ("user_timeout", user_timeout.map(time)),
    ]
    .into_iter()
    .filter_map(|(key, value)| value.map(|value| format!("{key} = {value}")))
    .collect();
    format!("{{ {} }}", given.join(", "))
}

/// `key = value`, where there is a value.
fn line(text: &mut String, key: &str, value: Option<String>) {
    if let Some(value) = value {
        text.extend([key, " = ", &value, "\n"]);
    }
}

fn time(duration: Duration) -> String {
    quoted(&exact(duration))
}

fn list(prefixes: &[IpNet]) -> String {
    texts(&prefixes.iter().map(ToString::to_string).collect::<Vec<_>>())
}

fn texts(texts: &[impl AsRef<str>]) -> String {
    let quoted: Vec<_> = texts.iter().map(|text| quoted(text.as_ref())).collect();
    format!("[{}]", quoted.join(", "))
}

/// Name of a rule, as the command line has it.
pub(crate) const fn rule(rule: OnConflict) -> &'static str {
    match rule {
        OnConflict::Respect => "respect",
        OnConflict::Tighten => "tighten",
        OnConflict::Enforce => "enforce",
    }
}

/// Name of what is tracked, as the command line has it.
pub(crate) const fn source(track: Track) -> &'static str {
    match track {
        Track::Sockets => "sockets",
        Track::Packets => "packets",
        Track::PacketsRegardless => "packets-regardless",
    }
}

/// Name of the cloud, as the command line has it.
pub(crate) const fn cloud(discover: Discover) -> &'static str {
    match discover {
        Discover::None => "none",
        Discover::Aws => "aws",
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
