//! What the watch loop answers when it is asked for figures or flows.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use injector_common::scan::ScanTotals;

use super::{
    member::Member,
    observation::{Observation, Owned, add},
    watcher::Watcher,
};
use crate::{
    flow::remaining_ms,
    host::Host,
    k8s::workload_of,
    metrics::{AtRisk, Conntrack, Ena, Memory, Scan},
};

/// Kernel memory of a record: `struct bpf_local_storage_elem` with its 64 bytes
/// before the data, and the data behind 8 more, from the slab of 192 bytes. What
/// the kernel keeps per socket whoever stores there is not counted.
const RECORD_BYTES: u64 = 192;

impl Watcher {
    /// All figures, by one scan of each attachment.
    pub(super) fn observe(&mut self) -> Observation {
        let start = Instant::now();
        let mut sum = ScanTotals::EMPTY;
        let (mut statuses, mut findings) = (Vec::new(), Vec::<Owned>::new());
        for member in self.members.values_mut() {
            let origin = member.origin();
            let found = &mut findings;
            let seen = member.observe(&self.shared.metrics, |sample, packets| {
                found.push((Arc::clone(&origin), *sample, packets.copied()));
            });
            match seen {
                Ok((status, totals)) => {
                    add(&mut sum, &totals);
                    statuses.push(status);
                }
                Err(error) => self.journal.complain(member.name(), &error),
            }
        }
        let duration = start.elapsed();
        findings.sort_by_key(|(_, sample, _)| remaining_ms(sample));
        let at_risk = self.at_risk(&findings);
        self.shared.metrics.scanned(Scan { at: SystemTime::now(), totals: sum, at_risk }, duration);
        self.tell_host(&sum);
        Observation { statuses, findings }
    }

    fn at_risk(&mut self, findings: &[Owned]) -> AtRisk {
        let mut at_risk = AtRisk::default();
        self.names.refresh();
        for (_, sample, _) in findings {
            let pod = self.names.pod(sample.cgroup_id);
            at_risk.count(pod.as_ref().map(|pod| (pod.namespace.as_str(), workload_of(&pod.name))));
        }
        at_risk
    }

    fn tell_host(&self, totals: &ScanTotals) {
        let host = Host::read();
        let maps_bytes = self.members.values().map(Member::map_memory).sum();
        let storage_bytes = (totals.flows() + totals.closing) * RECORD_BYTES;
        let mut figures = self.shared.metrics.figures();
        figures.memory = Some(Memory { maps_bytes, storage_bytes });
        figures.conntrack = host.nf_conntrack.map(|table| Conntrack { entries: table.count, limit: table.max });
        figures.interfaces(host.ena.into_iter().map(interface).collect());
        figures.log_lines_dropped = self.journal.dropped() + self.shared.log.dropped();
    }

    /// Flows of all attachments, as many as `budget`.
    pub(super) fn flows(&mut self, budget: u32) -> Vec<Owned> {
        let mut flows: Vec<Owned> = Vec::new();
        for member in self.members.values_mut() {
            let left = budget.saturating_sub(u32::try_from(flows.len()).unwrap_or(u32::MAX));
            let origin = member.origin();
            let listed = member.flows(left, |sample, packets| {
                flows.push((Arc::clone(&origin), *sample, packets.copied()));
            });
            if let Err(error) = listed {
                self.journal.complain(member.name(), &error);
            }
        }
        flows
    }
}

fn interface(ena: crate::host::Ena) -> Ena {
    Ena {
        interface: ena.interface,
        available: ena.conntrack_allowance_available,
        exceeded: ena.conntrack_allowance_exceeded.unwrap_or(0),
    }
}
