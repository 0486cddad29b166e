//! Which pod a flow belongs to, without asking an API server.
//!
//! The kubelet lays out a pod's cgroups by its UID, and its logs by its names
//! and its UID. So the path of a socket's cgroup leads to a [`PodRef`]
//! ([`cgroup_path`]), where it is the kubelet's ([`PodRoots`]), and the node's own log directories lead from there to
//! names ([`names`]). Whatever isn't found has no name, and callers show the
//! path.

pub(crate) mod cgroup_path;
pub(crate) mod names;
pub(crate) mod object_name;
mod roots;
pub(crate) mod workload;

pub use names::PodName;
pub(crate) use names::PodNames;
pub use roots::PodRoots;
pub use workload::workload_of;

use serde::{Deserialize, Serialize};

/// Where the kubelet keeps its logs.
pub(crate) const LOG_ROOT: &str = "/var/log";

/// A pod, by the names that its node has for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The container, where that is known.
    pub container: Option<String>,
}
