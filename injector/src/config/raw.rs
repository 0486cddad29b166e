//! The file as it is written: types, and the position of each value in the text.

use serde::Deserialize;
use toml::Spanned;

use super::values::{Number, Port, Prefixes, Text, Texts, Time, conflict, direction, discover, kind, track, warn};
use crate::{
    hop::{Direction, Kind},
    rules::values::{Discover, OnConflict, Track, Warn},
};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a configuration")]
pub(super) struct RawFile {
    pub cgroup: Option<Spanned<Text>>,
    pub name: Option<Spanned<Text>>,
    pub timeout: Option<Spanned<Time>>,
    pub idle: Option<Spanned<Time>>,
    pub interval: Option<Spanned<Time>>,
    pub probes: Option<Spanned<Number>>,
    pub user_timeout: Option<Spanned<Time>>,
    #[serde(default, deserialize_with = "warn")]
    pub warn: Option<Spanned<Warn>>,
    #[serde(default, deserialize_with = "conflict")]
    pub on_conflict: Option<Spanned<OnConflict>>,
    #[serde(default, deserialize_with = "track")]
    pub track: Option<Spanned<Track>>,
    #[serde(default, deserialize_with = "discover")]
    pub discover: Option<Spanned<Discover>>,
    pub discover_interval: Option<Spanned<Time>>,
    pub loopback: Option<bool>,
    pub cgroups: Option<Spanned<Texts>>,
    pub on_exit: Option<Spanned<Text>>,
    pub log: Option<Spanned<Text>>,
    pub pod_logs: Option<Spanned<Text>>,
    pub pod_cgroups: Option<Spanned<Texts>>,
    pub allowed_hosts: Option<Spanned<Texts>>,
    pub adopt: Option<bool>,
    #[serde(default)]
    pub policy: Vec<RawPolicy>,
    #[serde(default)]
    pub hop: Vec<RawHop>,
    #[serde(default)]
    pub application: Vec<RawApplication>,
}

/// `[[policy]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table under [[policy]]")]
pub(super) struct RawPolicy {
    pub cgroup: Option<Spanned<Text>>,
    pub namespace: Option<Spanned<Text>>,
    pub pod: Option<Spanned<Text>>,
    pub container: Option<Spanned<Text>>,
    pub remote: Option<Spanned<Prefixes>>,
    pub port: Option<Spanned<Port>>,
    #[serde(default, deserialize_with = "direction")]
    pub direction: Option<Spanned<Direction>>,
    pub keepalive: Option<Spanned<RawMode>>,
    #[serde(default, deserialize_with = "conflict")]
    pub on_conflict: Option<Spanned<OnConflict>>,
    pub adopt: Option<bool>,
}

/// `keepalive` of a policy.
#[derive(Debug)]
pub(super) enum RawMode {
    Word(String),
    Values(RawKeepalive),
}

/// `[[hop]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table under [[hop]]")]
pub(super) struct RawHop {
    pub name: Spanned<Text>,
    #[serde(deserialize_with = "kind")]
    pub kind: Spanned<Kind>,
    pub timeout: Option<Spanned<Time>>,
    pub remote: Option<Spanned<Prefixes>>,
    pub port: Option<Spanned<Port>>,
    pub local: Option<Spanned<Prefixes>>,
    #[serde(default, deserialize_with = "direction")]
    pub direction: Option<Spanned<Direction>>,
}

/// `[[application]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table under [[application]]")]
pub(super) struct RawApplication {
    pub name: Spanned<Text>,
    pub idle: Option<Spanned<Time>>,
    pub keepalive: Option<RawKeepalive>,
    pub remote: Option<Spanned<Prefixes>>,
    pub port: Option<Spanned<Port>>,
}

/// `keepalive` of an application, or of a policy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table: { idle = \"60s\", interval = \"10s\", probes = 9 }")]
pub(super) struct RawKeepalive {
    pub idle: Option<Spanned<Time>>,
    pub interval: Option<Spanned<Time>>,
    pub probes: Option<Spanned<Number>>,
    pub user_timeout: Option<Spanned<Time>>,
}
