//! What `injector` prints for programs to read, as its documented schema says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// A flow of `flows -o json` (schema `injector.flows/v1`).
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are the schema's")]
pub struct Flow {
    pub attachment: String,
    pub cookie: u64,
    pub status: Status,
    /// What the application did against its protection, if anything.
    pub reason: Option<String>,
    pub direction: Direction,
    pub state: String,
    pub local: SocketAddr,
    pub peer: SocketAddr,
    pub age_ms: u64,
    pub idle_ms: u64,
    pub app_idle_ms: u64,
    /// 0 for `null`: there is no limit.
    #[serde(deserialize_with = "or_default")]
    pub limit_ms: u64,
    /// `None` where `--timeout` stands in for a hop.
    pub hop: Option<String>,
    pub layer7: Option<Layer7>,
    /// 0 for `null`.
    #[serde(deserialize_with = "or_default")]
    pub remaining_ms: i64,
    pub keepalive: FlowKeepalive,
    pub outcome: String,
    pub origin: Origin,
    pub cgroup_id: u64,
    /// `None` once the cgroup is removed.
    pub cgroup: Option<String>,
    pub netns: u64,
    pub uid: u32,
    pub inode: u64,
    pub process: Option<FlowProcess>,
    pub pod: Option<FlowPod>,
    /// Only with `--track packets`.
    pub packets: Option<FlowPackets>,
}

/// The pod a flow belongs to.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the schema's")]
pub struct FlowPod {
    pub namespace: String,
    pub name: String,
    pub container: Option<String>,
}

/// The packets of a flow.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are the schema's")]
pub struct FlowPackets {
    pub probed_by: String,
    pub received: PacketCounts,
    pub sent: PacketCounts,
}

/// The packets of one direction.
#[derive(Clone, Copy, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are the schema's")]
pub struct PacketCounts {
    pub data: u32,
    pub ack: u32,
    pub probe: u32,
    pub garbage_probe: u32,
    pub reset: u32,
    pub fin: u32,
    pub unknown: u32,
    pub unanswered_probes: u32,
}

impl Flow {
    /// How long nothing passed on the wire.
    pub const fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_ms)
    }

    /// How long no payload passed.
    pub const fn app_idle(&self) -> Duration {
        Duration::from_millis(self.app_idle_ms)
    }
}

/// How close a flow is to its idle timeout.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the schema's")]
pub enum Status {
    Protected,
    Exposed,
    AtRisk,
    Overdue,
    Stalled,
    Local,
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The side that opened the connection.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The program in the cgroup did.
    Active,
    /// Its peer did.
    Passive,
}

/// A timer that keepalive does not reset.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the schema's")]
pub struct Layer7 {
    pub hop: Option<String>,
    pub timeout_ms: u64,
}

/// How a flow became known.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Seen when its connection was established.
    Established,
    /// It was open before.
    Adopted,
}

/// The effective keepalive of a flow.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are the schema's")]
pub struct FlowKeepalive {
    pub enabled: bool,
    pub idle_s: u32,
    pub interval_s: u32,
    pub probes: u32,
    pub user_timeout_ms: u64,
    pub owner: Owner,
    pub unanswered_probes: u32,
}

/// Whose keepalive it is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// Ours.
    Injected,
    /// The application's own.
    Application,
    /// There is none.
    None,
}

/// The program that holds a flow's socket.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the schema's")]
pub struct FlowProcess {
    pub pid: u32,
    pub name: String,
}

/// An attachment of `status -o json` (schema `injector.status/v1`).
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are the schema's")]
pub struct AttachmentStatus {
    pub name: String,
    pub cgroup: String,
    pub cgroup_id: u64,
    pub state: String,
    pub since: String,
    pub limit_ms: u64,
    pub warn_ms: u64,
    pub keepalive: AttachmentKeepalive,
    pub on_conflict: String,
    pub sockets: Sockets,
    pub flows: BTreeMap<String, u64>,
    pub coverage: Coverage,
    pub idle_histogram: Vec<Bucket>,
}

/// What an attachment gives to each socket.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the schema's")]
pub struct AttachmentKeepalive {
    pub idle_s: u32,
    pub interval_s: u32,
    pub probes: u32,
    pub user_timeout_ms: u64,
}

/// The outcomes of the sockets that an attachment saw.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are the schema's")]
pub struct Sockets {
    pub active: Outcomes,
    pub passive: Outcomes,
    pub failures: Vec<serde_json::Value>,
}

/// Sockets by outcome.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the schema's")]
pub struct Outcomes {
    pub injected: u64,
    pub tightened: u64,
    pub respected: u64,
    pub exempt: u64,
    pub failed: u64,
    pub no_storage: u64,
}

/// How far an attachment knows the connections of its cgroup.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the schema's")]
pub struct Coverage {
    pub established: u64,
    pub adopted: u64,
    /// Connections without a record, by reason.
    pub uncovered: BTreeMap<String, u64>,
    pub hidden_processes: u64,
}

/// A bar of the idle histogram: flows idle for at most `le_s` seconds, or for longer than all of them.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the names are the schema's")]
pub struct Bucket {
    pub le_s: Option<u64>,
    pub count: u64,
}
