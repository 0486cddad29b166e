//! Medians and their spread.

use serde::{Deserialize, Serialize};

/// Where the middle of some samples lies, and how far they spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    /// A quarter of the samples lies below.
    pub(crate) lower: f64,
    /// A quarter of the samples lies above.
    pub(crate) upper: f64,
}

impl Spread {
    /// Panics without samples.
    pub(crate) fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self { median: quantile(&sorted, 0.5), lower: quantile(&sorted, 0.25), upper: quantile(&sorted, 0.75) }
    }
}

/// Each sample in relation to the one of the same round that it is compared with.
pub(crate) fn ratios(samples: &[f64], baseline: &[f64]) -> Vec<f64> {
    samples.iter().zip(baseline).map(|(sample, base)| sample / base).collect()
}

/// Between two samples the way is straight.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "samples are few")]
    let place = share * (sorted.len() - 1) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index of a sample")]
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        let table: [(&[f64], _); 3] =
            [(&[7.0], (7.0, 7.0, 7.0)), (&[3.0, 1.0], (2.0, 1.5, 2.5)), (&[5.0, 1.0, 4.0, 2.0, 3.0], (3.0, 2.0, 4.0))];
        for (samples, (median, lower, upper)) in table {
            assert_eq!(Spread::of(samples), Spread { median, lower, upper }, "{samples:?}");
        }
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        assert_eq!(ratios(&[2.0, 9.0], &[1.0, 3.0]), [2.0, 3.0]);
    }
}
