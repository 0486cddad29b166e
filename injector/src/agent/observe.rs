//! What the watch loop answers when it is asked for figures or flows.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use injector_common::scan::ScanTotals;

use super::{
    member::{Member, Scanned},
    observation::{FlowListing, Observation, Owned, add},
    watcher::Watcher,
};
use crate::{
    agent::metrics::{AtRisk, ConntrackUse, EnaAllowance, Memory, Scan},
    discovery::local::Host,
    flow::{Names, remaining_ms, urgency},
    host::pods::workload_of,
};

/// Kernel memory of a record: `struct bpf_local_storage_elem` with its 64 bytes
/// before the data, and the data behind 8 more, from the slab of 192 bytes.
/// What the kernel keeps per socket for any storage is not counted.
const RECORD_BYTES: u64 = 192;

impl Watcher {
    /// All figures, by one scan of each attachment. One that can't be scanned
    /// counts as it was seen last, with the time of that.
    pub(super) fn observe(&mut self) -> Observation {
        let start = Instant::now();
        self.names.refresh();
        let (mut sum, mut at_risk, mut flows) = (ScanTotals::EMPTY, AtRisk::default(), 0);
        let (mut statuses, mut findings, mut failed) = (Vec::new(), Vec::<Owned>::new(), Vec::new());
        for member in self.members.values_mut() {
            let (origin, first) = (member.origin(), findings.len());
            let found = &mut findings;
            let seen = member.observe(&self.shared.metrics, |sample, packets| {
                found.push((Arc::clone(&origin), *sample, packets.copied()));
            });
            match seen {
                Ok((status, totals)) => {
                    flows += totals.flows() + totals.closing;
                    let at_risk = count(&mut self.names, &findings[first..]);
                    member.seen = Scanned { at: SystemTime::now(), totals, at_risk };
                    statuses.push(status);
                }
                Err(error) => {
                    findings.truncate(first);
                    failed.push(format!("{}: {error:#}", member.name()));
                    self.sink.failed(member.name(), &error);
                }
            }
            add(&mut sum, &member.seen.totals);
            at_risk.add(&member.seen.at_risk);
        }
        let at = self.members.values().map(|member| member.seen.at).fold(SystemTime::now(), SystemTime::min);
        findings.sort_by_key(|(_, sample, _)| urgency(remaining_ms(sample)));
        self.shared.metrics.scanned(Scan { at, totals: sum, flows, at_risk }, start.elapsed());
        self.shared.metrics.figures().scan_failures += failed.len() as u64;
        self.update_host(&sum);
        Observation { statuses, listing: FlowListing { flows: findings, totals: sum, failed } }
    }

    fn update_host(&self, totals: &ScanTotals) {
        let host = Host::read();
        let maps_bytes = self.members.values().map(Member::map_memory).sum();
        let storage_bytes = (totals.flows() + totals.closing) * RECORD_BYTES;
        let mut figures = self.shared.metrics.figures();
        figures.memory = Some(Memory { maps_bytes, storage_bytes });
        figures.conntrack = host.nf_conntrack.map(|table| ConntrackUse { entries: table.count, limit: table.max });
        figures.interfaces(host.ena.into_iter().map(interface).collect());
        figures.log_lines_dropped = self.sink.held_back();
    }

    /// Flows of all attachments, as many as `budget`.
    pub(super) fn flows(&mut self, budget: u32) -> FlowListing {
        let mut listing = FlowListing { flows: Vec::new(), totals: ScanTotals::EMPTY, failed: Vec::new() };
        for member in self.members.values_mut() {
            let left = budget.saturating_sub(u32::try_from(listing.flows.len()).unwrap_or(u32::MAX));
            let origin = member.origin();
            let listed = member.flows(left, |sample, packets| {
                listing.flows.push((Arc::clone(&origin), *sample, packets.copied()));
            });
            match listed {
                Ok(totals) => add(&mut listing.totals, &totals),
                Err(error) => {
                    listing.failed.push(format!("{}: {error:#}", member.name()));
                    self.sink.failed(member.name(), &error);
                }
            }
        }
        self.shared.metrics.figures().scan_failures += listing.failed.len() as u64;
        listing
    }
}

/// The owners of these flows.
fn count(names: &mut Names, findings: &[Owned]) -> AtRisk {
    let mut at_risk = AtRisk::default();
    for (_, sample, _) in findings {
        let pod = names.pod(sample.cgroup_id);
        at_risk.count(pod.as_ref().map(|pod| (pod.namespace.as_str(), workload_of(&pod.name))));
    }
    at_risk
}

fn interface(ena: crate::discovery::local::Ena) -> EnaAllowance {
    EnaAllowance {
        interface: ena.interface,
        available: ena.conntrack_allowance_available,
        exceeded: ena.conntrack_allowance_exceeded.unwrap_or(0),
    }
}
