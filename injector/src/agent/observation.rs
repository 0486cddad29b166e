//! What the watch loop sends to the server.

use std::sync::Arc;

use injector_common::{
    packets::PacketRecord,
    record::FlowSample,
    scan::{HISTOGRAM_BUCKETS, ScanTotals},
};

use crate::{flow::Origin, output::AttachmentStatus};

/// A flow, the attachment that has it, and its packets where they are tracked.
pub(super) type Owned = (Arc<Origin>, FlowSample, Option<PacketRecord>);

/// All attachments at one moment.
#[derive(Debug)]
pub(super) struct Observation {
    pub(super) statuses: Vec<AttachmentStatus>,
    /// Flows at risk, overdue or stalled, with the least time left first.
    pub(super) listing: FlowListing,
}

/// Flows of all attachments, as many as were asked for.
#[derive(Debug)]
pub(super) struct FlowListing {
    pub(super) flows: Vec<Owned>,
    /// Over all flows, listed or not.
    pub(super) totals: ScanTotals,
    /// Attachments that could not be scanned, and why.
    pub(super) failed: Vec<String>,
}

/// Adds up what scans of several attachments saw.
pub(super) fn add(sum: &mut ScanTotals, totals: &ScanTotals) {
    for (sum, count) in sum.by_status.iter_mut().zip(totals.by_status) {
        *sum += count;
    }
    for bucket in 0..HISTOGRAM_BUCKETS {
        sum.idle_histogram[bucket] += totals.idle_histogram[bucket];
    }
    sum.closing += totals.closing;
    sum.adopted += totals.adopted;
    sum.next_change_ms = sum.next_change_ms.min(totals.next_change_ms);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums() {
        let mut one = ScanTotals { closing: 1, adopted: 2, next_change_ms: 30, ..ScanTotals::EMPTY };
        one.by_status[1] = 4;
        one.idle_histogram[12] = 5;
        let mut sum = ScanTotals::EMPTY;
        add(&mut sum, &one);
        add(&mut sum, &ScanTotals { next_change_ms: 20, ..one });
        assert_eq!((sum.closing, sum.adopted, sum.next_change_ms), (2, 4, 20));
        assert_eq!((sum.by_status[1], sum.idle_histogram[12]), (8, 10));
    }
}
