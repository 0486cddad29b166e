//! Hops and configurations as JSON has them.

use std::time::Duration;

use injector_common::keepalive::Keepalive as Parameters;
use ipnet::IpNet;
use serde::Serialize;

use crate::{
    config::{Agent, Application, Config, OnExit, cloud, rule, source},
    hop::{Direction, Ends, Expiry, Hop, Kind, Range, Scope, Source},
    host::logging::LogFormat,
    rules::{
        policy::{Mode, Policy},
        settings::{DEFAULT_DISCOVER_INTERVAL, DEFAULT_TIMEOUT, DEFAULT_WARN, Settings},
        timing::derive_with_reasons,
    },
};

/// A hop with all there is to say about it.
#[derive(Debug, Serialize)]
pub(crate) struct HopReport {
    /// What the user calls it.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its idle timeout.
    pub timeout_ms: u64,
    /// Where the timeout came from.
    pub source: Source,
    /// Shortest timeout of this kind.
    pub min_ms: u64,
    /// Longest timeout of this kind.
    pub max_ms: u64,
    /// Where the range can be read.
    pub documentation: &'static str,
    /// Its timeout for connections that one side has ended; `null` where it has none.
    pub half_closed_ms: Option<u64>,
    /// What happens to a flow when it expires.
    pub expiry: Expiry,
    /// Whether TCP keepalive counts as activity.
    pub keepalive_counts: bool,
    /// Keepalive that beats it; `null` where none can.
    pub keepalive: Option<KeepaliveReport>,
    /// Which flows it lies on.
    pub place: ScopeReport,
    /// Flows that it limits now; `null` where they were not counted.
    pub flows: Option<u64>,
}

/// Derived keepalive.
#[derive(Debug, Serialize)]
pub(crate) struct KeepaliveReport {
    /// `TCP_KEEPIDLE`.
    pub idle_s: u32,
    /// `TCP_KEEPINTVL`.
    pub interval_s: u32,
    /// `TCP_KEEPCNT`.
    pub probes: u32,
    /// Probes that are sent before the timeout.
    pub probes_below: u32,
    /// Remarks.
    pub caveats: Vec<String>,
}

/// A place.
#[derive(Debug, Serialize)]
pub(crate) struct ScopeReport {
    /// Prefixes of the peer; empty for any.
    pub remote: Vec<String>,
    /// Port of the peer; `null` for any.
    pub port: Option<u16>,
    /// Prefixes of our end; empty for any.
    pub local: Vec<String>,
    /// Which side opened the flows; `null` for both.
    pub direction: Option<Direction>,
}

impl HopReport {
    /// All there is to say about `hop`, except how many flows it limits.
    pub(crate) fn of(hop: &Hop) -> Self {
        let facts = hop.kind.facts();
        let (Range::Fixed(min) | Range::Within(min, _)) = facts.range;
        let (Range::Fixed(max) | Range::Within(_, max)) = facts.range;
        Self {
            name: hop.name.clone(),
            kind: hop.kind,
            timeout_ms: ms(hop.timeout),
            source: hop.source.clone(),
            min_ms: ms(min),
            max_ms: ms(max),
            documentation: facts.source,
            half_closed_ms: facts.keepalive.then(|| ms(hop.half_closed())),
            expiry: facts.expiry,
            keepalive_counts: facts.keepalive,
            keepalive: facts.keepalive.then(|| KeepaliveReport::of(hop.timeout)).flatten(),
            place: ScopeReport::of(&hop.scope),
            flows: None,
        }
    }
}

impl KeepaliveReport {
    fn of(timeout: Duration) -> Option<Self> {
        let derived = derive_with_reasons(timeout).ok()?;
        Some(Self {
            idle_s: derived.timing.idle_s,
            interval_s: derived.timing.interval_s,
            probes: derived.timing.probes,
            probes_below: derived.probes_below,
            caveats: derived.caveats.iter().map(ToString::to_string).collect(),
        })
    }
}

impl ScopeReport {
    fn of(scope: &Scope) -> Self {
        let (remote, port, local) = match &scope.ends {
            Ends::Any => (vec![], None, vec![]),
            Ends::Remote { prefixes, port } => (texts(prefixes), *port, vec![]),
            Ends::Local { prefixes } => (vec![], None, texts(prefixes)),
        };
        Self { remote, port, local, direction: scope.direction }
    }
}

#[derive(Debug, Serialize)]
struct ConfigDocument {
    schema: &'static str,
    attach: AttachReport,
    agent: AgentReport,
    policies: Vec<PolicyReport>,
    hops: Vec<HopReport>,
    applications: Vec<ApplicationReport>,
}

#[derive(Debug, Serialize)]
struct AttachReport {
    cgroup: Option<String>,
    name: Option<String>,
    timeout_ms: u64,
    idle_ms: Option<u64>,
    interval_ms: Option<u64>,
    probes: Option<u32>,
    user_timeout_ms: Option<u64>,
    warn: String,
    on_conflict: &'static str,
    track: &'static str,
    loopback: bool,
    discover: &'static str,
    discover_interval_ms: u64,
}

#[derive(Debug, Serialize)]
struct AgentReport {
    cgroups: Vec<String>,
    on_exit: OnExit,
    log: LogFormat,
    pod_logs: String,
    pod_cgroups: Vec<String>,
    allowed_hosts: Vec<String>,
    adopt: bool,
}

/// `null` for what does not matter.
#[derive(Debug, Serialize)]
struct PolicyReport {
    cgroup: Option<String>,
    namespace: Option<String>,
    pod: Option<String>,
    container: Option<String>,
    place: ScopeReport,
    /// `derived`, `exempt` or `explicit`.
    mode: &'static str,
    keepalive: Option<OwnKeepalive>,
    on_conflict: Option<&'static str>,
    adopt: Option<bool>,
}

#[derive(Debug, Serialize)]
struct ApplicationReport {
    name: String,
    source: Source,
    idle_ms: Option<u64>,
    keepalive: Option<OwnKeepalive>,
    place: ScopeReport,
}

#[derive(Debug, Serialize)]
struct OwnKeepalive {
    idle_ms: Option<u64>,
    interval_ms: Option<u64>,
    probes: Option<u32>,
    user_timeout_ms: Option<u64>,
}

/// The document of `config show -o json`.
pub(crate) fn config_document(config: &Config) -> impl Serialize {
    ConfigDocument {
        schema: "injector.config/v1",
        attach: AttachReport::of(&config.attach),
        agent: AgentReport::of(&config.agent),
        policies: config.policies.iter().map(PolicyReport::of).collect(),
        hops: config.hops.iter().map(HopReport::of).collect(),
        applications: config.applications.iter().map(ApplicationReport::of).collect(),
    }
}

impl AttachReport {
    fn of(settings: &Settings) -> Self {
        Self {
            cgroup: settings.cgroup.as_ref().map(|path| path.display().to_string()),
            name: settings.name.clone(),
            timeout_ms: ms(settings.timeout.unwrap_or(DEFAULT_TIMEOUT)),
            idle_ms: settings.idle.map(ms),
            interval_ms: settings.interval.map(ms),
            probes: settings.probes,
            user_timeout_ms: settings.user_timeout.map(ms),
            warn: settings.warn.unwrap_or(DEFAULT_WARN).to_string(),
            on_conflict: rule(settings.on_conflict.unwrap_or_default()),
            track: source(settings.track.unwrap_or_default()),
            loopback: settings.loopback.unwrap_or_default(),
            discover: cloud(settings.discover.unwrap_or_default()),
            discover_interval_ms: ms(settings.discover_interval.unwrap_or(DEFAULT_DISCOVER_INTERVAL)),
        }
    }
}

impl AgentReport {
    fn of(agent: &Agent) -> Self {
        Self {
            cgroups: agent.cgroups.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
            on_exit: agent.on_exit,
            log: agent.log,
            pod_logs: agent.pod_logs.display().to_string(),
            pod_cgroups: agent.pod_cgroups.paths().to_vec(),
            allowed_hosts: agent.allowed_hosts.clone(),
            adopt: agent.adopt,
        }
    }
}

impl PolicyReport {
    fn of(policy: &Policy) -> Self {
        let name = |pattern: &Option<glob::Pattern>| pattern.as_ref().map(|pattern| pattern.as_str().to_owned());
        let (mode, keepalive) = match policy.keepalive {
            Mode::Derived => ("derived", None),
            Mode::Exempt => ("exempt", None),
            Mode::Explicit(values) => ("explicit", Some(OwnKeepalive::of(&values))),
        };
        Self {
            cgroup: policy.selector.cgroup.as_ref().map(|pattern| pattern.as_str().to_owned()),
            namespace: name(&policy.selector.namespace),
            pod: name(&policy.selector.pod),
            container: name(&policy.selector.container),
            place: ScopeReport::of(&policy.scope),
            mode,
            keepalive,
            on_conflict: policy.on_conflict.map(rule),
            adopt: policy.adopt,
        }
    }
}

impl OwnKeepalive {
    fn of(values: &Parameters) -> Self {
        Self {
            idle_ms: Some(u64::from(values.idle_s) * 1000),
            interval_ms: Some(u64::from(values.interval_s) * 1000),
            probes: Some(values.probes),
            user_timeout_ms: (values.user_timeout_ms > 0).then(|| values.user_timeout_ms.into()),
        }
    }
}

impl ApplicationReport {
    fn of(application: &Application) -> Self {
        Self {
            name: application.name.clone(),
            source: application.source.clone(),
            idle_ms: application.idle.map(ms),
            keepalive: application.keepalive.map(|own| OwnKeepalive {
                idle_ms: own.idle.map(ms),
                interval_ms: own.interval.map(ms),
                probes: own.probes,
                user_timeout_ms: own.user_timeout.map(ms),
            }),
            place: ScopeReport::of(&application.scope),
        }
    }
}

fn texts(prefixes: &[IpNet]) -> Vec<String> {
    prefixes.iter().map(ToString::to_string).collect()
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
