//! A flow as it is shown: the kernel's sample, with names for its numbers.
//!
//! The serialised form is `injector.flows/v1`; units stand in the key names.

pub(crate) mod packets;
mod reason;

use std::{borrow::Cow, net::SocketAddr, path::Path, time::Instant};

use injector_common::{
    keepalive::Keepalive as Parameters,
    packets::PacketRecord,
    record::{ADOPTED, FlowSample, state},
    stats::{ACTIVE, OUTCOME_NAMES},
    status::STATUS_NAMES,
};
use reason::{owner, reason};
use serde::{Deserialize, Serialize};

use crate::{
    bpf::{Attached, Hops},
    flow::packets::Packets,
    host::{
        cgroup::CgroupPaths,
        endpoint::address,
        pods::{LOG_ROOT, Pod, PodNames, PodRoots},
        process::{Process, SocketHolders},
    },
};

/// One flow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Flow {
    /// Name of the attachment that has it.
    pub attachment: String,
    /// Kernel's socket cookie.
    pub cookie: u64,
    /// `protected`, `exposed`, `at_risk`, `overdue`, `stalled` or `local`.
    pub status: Cow<'static, str>,
    /// Why its keepalive does not protect it: usually something that the application set.
    pub reason: Option<String>,
    /// `active` (connected) or `passive` (accepted).
    pub direction: Cow<'static, str>,
    /// TCP state.
    pub state: Cow<'static, str>,
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub peer: SocketAddr,
    /// Time since the connection was established.
    pub age_ms: u64,
    /// Since something was last received, answers to probes included.
    pub idle_ms: u64,
    /// Since payload was last received, or sent and acknowledged.
    pub app_idle_ms: u64,
    /// Idle timeout of the hop in the present state of the flow; `null` where both ends are on this host.
    pub limit_ms: Option<u64>,
    /// Name of that hop; `null` where none is known and `--timeout` stands in.
    pub hop: Option<String>,
    /// A timer on the path that keepalive does not reset.
    pub layer7: Option<Layer7>,
    /// Time left until the first of both; negative beyond it, `null` where there is no limit.
    pub remaining_ms: Option<i64>,
    /// Effective keepalive.
    pub keepalive: FlowKeepalive,
    /// Outcome of the socket.
    pub outcome: Cow<'static, str>,
    /// `established` where it was seen then, or `adopted`.
    pub origin: Cow<'static, str>,
    /// Kernel's id of its cgroup.
    pub cgroup_id: u64,
    /// Path of its cgroup; `null` once that is removed.
    pub cgroup: Option<String>,
    /// Inode number of its network namespace.
    pub netns: u32,
    /// Owner.
    pub uid: u32,
    /// Inode number of the socket.
    pub inode: u64,
    /// Process that holds it, as far as `/proc` shows it.
    pub process: Option<Process>,
    /// Pod it belongs to.
    pub pod: Option<Pod>,
    /// Its packets, where they are tracked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets: Option<Packets>,
}

/// A timer that sees payload only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Layer7 {
    /// Name of the hop that has it.
    pub hop: Option<String>,
    /// Idle time of the applications after which it closes the flow.
    pub timeout_ms: u64,
}

/// Effective keepalive of a flow, with sysctl defaults filled in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FlowKeepalive {
    /// `SO_KEEPALIVE`.
    pub enabled: bool,
    /// `TCP_KEEPIDLE`.
    pub idle_s: u32,
    /// `TCP_KEEPINTVL`.
    pub interval_s: u32,
    /// `TCP_KEEPCNT`.
    pub probes: u32,
    /// `TCP_USER_TIMEOUT`; 0 when not set.
    pub user_timeout_ms: u32,
    /// `injected`, `application` or `none`.
    pub owner: Cow<'static, str>,
    /// Probes without an answer.
    pub unanswered_probes: u8,
}

/// The attachment that has a flow.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    attachment: String,
    hops: Hops,
}

impl Origin {
    /// The flows of `attached` as it is now.
    pub(crate) fn of(attached: &Attached) -> Self {
        Self { attachment: attached.name().to_owned(), hops: attached.hops() }
    }
}

/// Names for the numbers in samples; read from the host when first needed.
#[derive(Debug)]
pub(crate) struct Names {
    paths: Option<CgroupPaths>,
    holders: Option<SocketHolders>,
    pods: PodNames,
    roots: PodRoots,
}

impl Default for Names {
    fn default() -> Self {
        Self::new(Path::new(LOG_ROOT), &PodRoots::default())
    }
}

impl Names {
    /// Names of pods come from `log_root`, which is [`LOG_ROOT`] unless that is
    /// mounted elsewhere. Cgroups are pods' below `roots` only.
    pub(crate) fn new(log_root: &Path, roots: &PodRoots) -> Self {
        Self { paths: None, holders: None, pods: PodNames::new(log_root), roots: roots.clone() }
    }

    /// Drops what was read, since cgroups and processes come and go.
    pub(crate) fn refresh(&mut self) {
        self.paths = None;
        self.holders = None;
    }

    /// The pod that a cgroup belongs to.
    pub(crate) fn pod(&mut self, cgroup_id: u64) -> Option<Pod> {
        let path = self.paths().get(cgroup_id)?.to_owned();
        self.pod_at(&path)
    }

    /// The pod that the cgroup at `path` belongs to.
    pub(crate) fn pod_at(&mut self, path: &str) -> Option<Pod> {
        let pod = self.roots.pod_of(path)?;
        let name = self.pods.get(&pod, Instant::now())?;
        Some(Pod { namespace: name.namespace, name: name.pod, container: name.container })
    }

    fn paths(&mut self) -> &CgroupPaths {
        self.paths.get_or_insert_with(|| CgroupPaths::below(Path::new("/")).unwrap_or_default())
    }

    /// Shows a sample, and its packets where they are tracked.
    pub(crate) fn flow(&mut self, origin: &Origin, sample: &FlowSample, packets: Option<&PacketRecord>) -> Flow {
        let Origin { attachment, hops } = origin;
        let hop = hops.name(sample.hop);
        let layer7 = (sample.layer7_ms != 0)
            .then(|| Layer7 { hop: hops.name(sample.layer7_hop), timeout_ms: sample.layer7_ms.into() });
        let cgroup = self.paths().get(sample.cgroup_id).map(str::to_owned);
        let pod = self.pod(sample.cgroup_id);
        let holders = self.holders.get_or_insert_with(SocketHolders::load);
        let (local, peer) = endpoints(sample);
        Flow {
            attachment: attachment.clone(),
            cookie: sample.cookie,
            status: name(&STATUS_NAMES, sample.status),
            reason: reason(sample, hop.as_deref(), layer7.as_ref()),
            direction: if sample.direction == ACTIVE { "active" } else { "passive" }.into(),
            state: state::name(sample.state).into(),
            local,
            peer,
            age_ms: sample.age_ms,
            idle_ms: sample.idle_ms,
            app_idle_ms: sample.app_idle_ms,
            limit_ms: (sample.limit_ms != 0).then(|| sample.limit_ms.into()),
            hop,
            layer7,
            remaining_ms: remaining_ms(sample),
            keepalive: keepalive(sample),
            outcome: name(&OUTCOME_NAMES, sample.outcome),
            origin: if sample.origin == ADOPTED { "adopted" } else { "established" }.into(),
            cgroup_id: sample.cgroup_id,
            cgroup,
            netns: sample.netns,
            uid: sample.uid,
            inode: sample.inode,
            process: holders.get(sample.inode),
            pod,
            packets: packets.map(Packets::of),
        }
    }
}

fn name(names: &[&'static str], index: u8) -> Cow<'static, str> {
    names.get(usize::from(index)).copied().unwrap_or("unknown").into()
}

/// Milliseconds until the first limit; negative beyond it, `None` where there is none.
pub fn remaining_ms(sample: &FlowSample) -> Option<i64> {
    let left = |limit_ms: u32, idle_ms| (limit_ms != 0).then(|| i64::from(limit_ms).saturating_sub_unsigned(idle_ms));
    let timers = [left(sample.limit_ms, sample.idle_ms), left(sample.layer7_ms, sample.app_idle_ms)];
    timers.into_iter().flatten().min()
}

/// Sorts flows by [`remaining_ms`]: those without a limit come last.
pub(crate) fn urgency(remaining_ms: Option<i64>) -> i64 {
    remaining_ms.unwrap_or(i64::MAX)
}

fn endpoints(sample: &FlowSample) -> (SocketAddr, SocketAddr) {
    let ends = &sample.endpoints;
    (address(ends.local_address, ends.local_port), address(ends.peer_address, ends.peer_port))
}

fn keepalive(sample: &FlowSample) -> FlowKeepalive {
    let Parameters { idle_s, interval_s, probes, user_timeout_ms } = sample.effective;
    FlowKeepalive {
        enabled: sample.enabled != 0,
        idle_s,
        interval_s,
        probes,
        user_timeout_ms,
        owner: owner(sample).into(),
        unanswered_probes: sample.unanswered_probes,
    }
}

#[cfg(test)]
mod tests {
    use injector_common::status::PROTECTED;

    use super::*;

    const OURS: Parameters = Parameters { idle_s: 240, interval_s: 30, probes: 9, user_timeout_ms: 0 };

    fn sample() -> FlowSample {
        FlowSample {
            idle_ms: 1000,
            limit_ms: 350_000,
            effective: OURS,
            applied: OURS,
            enabled: 1,
            status: PROTECTED,
            ..FlowSample::default()
        }
    }

    #[test]
    fn beyond_the_limit_the_remainder_is_negative() {
        assert_eq!(remaining_ms(&sample()), Some(349_000));
        assert_eq!(remaining_ms(&FlowSample { idle_ms: 360_000, ..sample() }), Some(-10_000));
    }

    #[test]
    fn within_this_host_nothing_runs_out() {
        let local = remaining_ms(&FlowSample { limit_ms: 0, ..sample() });
        assert_eq!(local, None);
        assert!(urgency(local) > urgency(remaining_ms(&sample())));
    }

    #[test]
    fn a_timer_that_keepalive_does_not_reach() {
        let sample = FlowSample { layer7_ms: 60_000, app_idle_ms: 50_000, ..sample() };
        assert_eq!(remaining_ms(&sample), Some(10_000));
    }
}
