//! Flows at risk by workload, for as many workloads as there is room.

use std::{cmp::Reverse, collections::HashMap};

/// Workloads reported one by one; those with fewer flows at risk are reported together.
const MAX_WORKLOADS: usize = 200;
/// Namespace and workload of those. No Kubernetes object can be called so, nor as below.
const OTHER: &str = "_other";
/// Namespace and workload of flows whose pod is unknown.
const UNKNOWN: &str = "_unknown";

/// Counts flows at risk by namespace and workload.
#[derive(Clone, Debug, Default)]
pub struct AtRisk(HashMap<(String, String), u64>);

impl AtRisk {
    /// Counts a flow of the pods of a namespace and workload, if that is known.
    pub fn count(&mut self, owner: Option<(&str, &str)>) {
        let (namespace, workload) = owner.unwrap_or((UNKNOWN, UNKNOWN));
        *self.0.entry((namespace.to_owned(), workload.to_owned())).or_default() += 1;
    }

    /// Counts all that `other` did.
    pub fn add(&mut self, other: &Self) {
        for (owner, count) in &other.0 {
            *self.0.entry(owner.clone()).or_default() += count;
        }
    }

    /// Those with the most flows, in an order that only depends on the counts, and all others as one.
    pub(super) fn into_series(self) -> Vec<((String, String), u64)> {
        let mut series: Vec<_> = self.0.into_iter().collect();
        series.sort_unstable_by(|(a, more), (b, less)| (Reverse(more), a).cmp(&(Reverse(less), b)));
        let others: u64 = series.drain(series.len().min(MAX_WORKLOADS)..).map(|(_, count)| count).sum();
        if others > 0 {
            series.push(((OTHER.to_owned(), OTHER.to_owned()), others));
        }
        series
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(at_risk: AtRisk) -> Vec<(String, u64)> {
        at_risk
            .into_series()
            .into_iter()
            .map(|((namespace, workload), count)| (format!("{namespace}/{workload}"), count))
            .collect()
    }

    #[test]
    fn flows_of_a_workload_are_added_up() {
        let mut at_risk = AtRisk::default();
        for workload in ["web", "db", "web"] {
            at_risk.count(Some(("shop", workload)));
        }
        at_risk.count(None);
        let mut elsewhere = AtRisk::default();
        elsewhere.count(Some(("shop", "web")));
        at_risk.add(&elsewhere);
        assert_eq!(
            series(at_risk),
            [("shop/web".to_owned(), 3), ("_unknown/_unknown".to_owned(), 1), ("shop/db".to_owned(), 1)]
        );
    }

    #[test]
    fn the_number_of_series_has_a_bound() {
        let mut at_risk = AtRisk::default();
        for number in 0..1000 {
            at_risk.count(Some(("shop", &format!("web-{number:04}"))));
        }
        at_risk.count(Some(("shop", "web-0999")));
        let series = series(at_risk);
        assert_eq!(series.len(), MAX_WORKLOADS + 1);
        assert_eq!(series[0], ("shop/web-0999".to_owned(), 2));
        assert_eq!(series[MAX_WORKLOADS], ("_other/_other".to_owned(), 801 - 1));
    }
}
