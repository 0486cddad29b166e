//! One scan: what userspace asks for, and what the iterator adds up over all flows.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::status::{STATUSES, is_finding};

/// No bound on what is written out.
pub const UNLIMITED: u32 = u32::MAX;

/// Write out every flow.
pub const ALL: u32 = 0;
/// Write out flows whose status is a finding.
pub const FINDINGS: u32 = 1;
/// As [`FINDINGS`], and remember in the flow record that it was written, so
/// that its recovery is written once as well. For the one watcher of an
/// attachment. The first of these scans also writes out what an earlier watcher
/// got.
pub const WATCH: u32 = 2;
/// Write out nothing: totals only.
pub const TOTALS: u32 = 3;

/// Write out every flow as a [`crate::record::FlowBrief`]: nine times as many
/// fit into what the kernel hands out at once.
pub const BRIEF: u32 = 4;
/// Write out adopted listeners alone, each as a [`crate::record::FlowBrief`]
/// without hops.
pub const LISTENERS: u32 = 5;

/// Upper bounds of the idle-time histogram's buckets in seconds; one more
/// bucket holds what lies above. Among them the limits that clouds use.
pub const HISTOGRAM_BOUNDS_S: [u64; 12] = [1, 5, 10, 30, 60, 120, 240, 300, 350, 600, 1800, 3600];
/// Buckets of the histogram.
pub const HISTOGRAM_BUCKETS: usize = HISTOGRAM_BOUNDS_S.len() + 1;

/// "No flow's status can change by staying idle."
pub const NEVER: u64 = u64::MAX;

/// Request and result of a scan; the value of the `SCAN_CONTROL` map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ScanControl {
    /// [`ALL`], [`FINDINGS`], [`WATCH`], [`TOTALS`], [`BRIEF`] or [`LISTENERS`].
    pub mode: u32,
    /// Write out at most this many flows; with [`WATCH`], this many that were not reported to it yet.
    pub budget: u32,
    /// Write out only flows that were idle on the wire for this long, in
    /// milliseconds.
    pub min_idle_ms: u64,
    /// What was added up.
    pub totals: ScanTotals,
    /// Where the iterator reads ahead; its own.
    pub ahead: Ahead,
}

/// Addresses in the kernel that the next visit fetches from; 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Ahead {
    /// The entry of the flow three on.
    pub element: u64,
    /// The storage of the socket two on.
    pub storage: u64,
    /// The next socket.
    pub socket: u64,
}

impl Ahead {
    /// Nothing known yet.
    pub const NOTHING: Self = Self { element: 0, storage: 0, socket: 0 };
}

impl ScanControl {
    /// A request with empty totals.
    pub const fn request(mode: u32, min_idle_ms: u64, budget: u32) -> Self {
        Self { mode, budget, min_idle_ms, totals: ScanTotals::EMPTY, ahead: Ahead::NOTHING }
    }
}

/// Sums over all live flows, whether written out or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ScanTotals {
    /// Flows by status.
    pub by_status: [u64; STATUSES],
    /// Flows by wire idle time, not cumulative, without those that have no limit ([`crate::status::LOCAL`]).
    pub idle_histogram: [u64; HISTOGRAM_BUCKETS],
    /// Milliseconds until the first flow could change its status by staying idle, or [`NEVER`].
    pub next_change_ms: u64,
    /// Flows already closing; they have no other status.
    pub closing: u64,
    /// Live flows that were adopted.
    pub adopted: u64,
    /// Listeners that were adopted; they are no flows.
    pub listeners: u64,
}

impl ScanTotals {
    /// Nothing seen yet.
    pub const EMPTY: Self = Self {
        by_status: [0; STATUSES],
        idle_histogram: [0; HISTOGRAM_BUCKETS],
        next_change_ms: NEVER,
        closing: 0,
        adopted: 0,
        listeners: 0,
    };

    /// Live flows whose status is a finding.
    pub fn findings(&self) -> u64 {
        (0_u8..).zip(self.by_status).filter(|&(status, _)| is_finding(status)).map(|(_, count)| count).sum()
    }

    /// Live flows.
    pub fn flows(&self) -> u64 {
        self.by_status.iter().sum()
    }
}

impl Default for ScanTotals {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// The bucket that counts `idle_ms`: the first whose bound it does not exceed.
#[inline(always)]
pub fn histogram_bucket(idle_ms: u64) -> usize {
    let mut bucket = 0;
    while bucket < HISTOGRAM_BOUNDS_S.len() && idle_ms > HISTOGRAM_BOUNDS_S[bucket] * 1000 {
        bucket += 1;
    }
    bucket
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums() {
        let totals = ScanTotals { by_status: [1, 20, 300, 4000, 50_000, 600_000], ..ScanTotals::EMPTY };
        assert_eq!((totals.flows(), totals.findings()), (654_321, 54_300));
    }

    #[test]
    fn buckets() {
        for (idle_ms, bucket) in [(0, 0), (1000, 0), (1001, 1), (350_000, 8), (350_001, 9), (u64::MAX, 12)] {
            assert_eq!(histogram_bucket(idle_ms), bucket, "{idle_ms} ms");
        }
    }
}
