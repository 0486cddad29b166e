//! A configuration as a file again, with what was left out filled in.

use std::time::Duration;

use ipnet::IpNet;
use toml::Value;

use super::{Application, Config, Keepalive};
use crate::{
    cli::OnConflict,
    duration::exact,
    hop::{Ends, Hop, Place},
    settings::{DEFAULT_TIMEOUT, DEFAULT_WARN, Settings},
};

/// Writes `config` as TOML. Comments say where the hops' timeouts come from,
/// and what their kinds are like.
pub fn to_toml(config: &Config) -> String {
    let mut text = settings(&config.attach);
    for hop in &config.hops {
        text += &self::hop(hop);
    }
    for one in &config.applications {
        text += &application(one);
    }
    text
}

fn settings(settings: &Settings) -> String {
    let Settings { cgroup, name, timeout, idle, interval, probes, user_timeout, warn, on_conflict } = settings;
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
    text
}

fn hop(hop: &Hop) -> String {
    let facts = hop.kind.facts();
    let mut text = format!("\n# timeout: {}; {} {} ({})\n", hop.source, hop.kind, facts.range, facts.source);
    let keepalive = if facts.keepalive { "keepalive counts" } else { "keepalive does not count" };
    text.extend(["# at its end: ", facts.expiry.name(), "; ", keepalive, "\n[[hop]]\n"]);
    line(&mut text, "name", Some(quoted(&hop.name)));
    line(&mut text, "kind", Some(quoted(hop.kind.name())));
    line(&mut text, "timeout", Some(time(hop.timeout)));
    text + &place(&hop.place)
}

fn application(application: &Application) -> String {
    let mut text = "\n[[application]]\n".to_owned();
    line(&mut text, "name", Some(quoted(&application.name)));
    line(&mut text, "idle", application.idle.map(time));
    line(&mut text, "keepalive", application.keepalive.as_ref().map(keepalive));
    text + &place(&application.place)
}

fn place(place: &Place) -> String {
    let mut text = String::new();
    match &place.ends {
        Ends::Any => {}
        Ends::Remote { prefixes, port } => {
            line(&mut text, "remote", Some(list(prefixes)));
            line(&mut text, "port", port.map(|port| port.to_string()));
        }
        Ends::Local { prefixes } => line(&mut text, "local", Some(list(prefixes))),
    }
    line(&mut text, "direction", place.direction.map(|direction| quoted(direction.name())));
    text
}

fn keepalive(keepalive: &Keepalive) -> String {
    let Keepalive { idle, interval, probes, user_timeout } = *keepalive;
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
    let quoted: Vec<_> = prefixes.iter().map(|prefix| quoted(&prefix.to_string())).collect();
    format!("[{}]", quoted.join(", "))
}

/// Name of a rule, as the command line has it.
pub const fn rule(rule: OnConflict) -> &'static str {
    match rule {
        OnConflict::Respect => "respect",
        OnConflict::Tighten => "tighten",
        OnConflict::Enforce => "enforce",
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
