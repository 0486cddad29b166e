//! What a benchmark found, as it is written to `target/bench/`.

use serde::{Deserialize, Serialize};

use crate::{
    machine::Machine,
    statistics::{Spread, ratios},
};

/// The result of one benchmark.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) schema: String,
    pub(crate) name: String,
    /// How it was measured.
    pub(crate) about: String,
    pub(crate) machine: Machine,
    /// Too few samples to show anything but that it runs.
    pub(crate) is_quick: bool,
    pub(crate) measures: Vec<Measure>,
    pub(crate) targets: Vec<Target>,
    /// What keeps the figures from being better.
    pub(crate) limits: Option<String>,
}

/// One quantity, of several alternatives.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measure {
    pub(crate) what: String,
    pub(crate) unit: String,
    pub(crate) series: Vec<Series>,
    /// Remarks: an alternative's version, or why it is not among them.
    pub(crate) note: Option<String>,
}

/// One alternative. Samples of the same index are of the same round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) samples: Vec<f64>,
    pub(crate) spread: Spread,
    /// In relation to the first alternative, round by round.
    pub(crate) ratio: Option<Spread>,
}

/// What must be shown, and whether it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) must: String,
    pub(crate) found: String,
    pub(crate) met: bool,
}

impl Measure {
    /// From the samples of each alternative; the first one is what the others are compared with.
    pub(crate) fn new(what: impl Into<String>, unit: &str, samples: Vec<(String, Vec<f64>)>) -> Self {
        let baseline = samples.first().map(|(_, samples)| samples.clone()).unwrap_or_default();
        let series = samples.into_iter().enumerate().map(|(index, (name, samples))| {
            let is_comparable = index > 0 && samples.len() == baseline.len() && baseline.iter().all(|base| *base > 0.0);
            let ratio = is_comparable.then(|| Spread::of(&ratios(&samples, &baseline)));
            Series { name, spread: Spread::of(&samples), ratio, samples }
        });
        Self { what: what.into(), unit: unit.to_owned(), series: series.collect(), note: None }
    }

    /// The same with a note.
    pub(crate) fn noted(self, note: String) -> Self {
        Self { note: Some(note), ..self }
    }

    /// Panics where there is no such alternative.
    pub(crate) fn of(&self, name: &str) -> &Series {
        let found = self.series.iter().find(|series| series.name == name);
        found.unwrap_or_else(|| panic!("{} was not measured for {name}", self.what))
    }

    /// One alternative in relation to another, round by round.
    pub(crate) fn ratio(&self, name: &str, baseline: &str) -> Spread {
        Spread::of(&ratios(&self.of(name).samples, &self.of(baseline).samples))
    }
}

impl Target {
    /// A ratio or figure that must be at least this.
    pub(crate) fn at_least(must: &str, bound: f64, found: Spread) -> Self {
        Self { must: must.to_owned(), found: shown(found), met: found.median >= bound }
    }

    /// A ratio or figure that must be at most this.
    pub(crate) fn at_most(must: &str, bound: f64, found: Spread) -> Self {
        Self { must: must.to_owned(), found: shown(found), met: found.median <= bound }
    }
}

/// `1.02 (0.98 to 1.07)`.
pub(crate) fn shown(Spread { median, lower, upper }: Spread) -> String {
    format!("{} ({} to {})", figure(median), figure(lower), figure(upper))
}

/// Three digits that count.
pub(crate) fn figure(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        magnitude if magnitude >= 100.0 => 0,
        magnitude if magnitude >= 10.0 => 1,
        magnitude if magnitude >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    if value.abs() < 1000.0 { text } else { with_commas(&text) }
}

fn with_commas(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let parts: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    format!("{sign}{}", parts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        for (value, text) in [
            (0.0, "0"),
            (0.9871, "0.987"),
            (1.234, "1.23"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1_234_567.0, "1,234,567"),
            (-1234.0, "-1,234"),
        ] {
            assert_eq!(figure(value), text);
        }
    }

    #[test]
    fn alternatives_are_compared_with_the_first() {
        let measure = Measure::new("time", "s", vec![("a".into(), vec![1.0, 2.0]), ("b".into(), vec![2.0, 4.0])]);
        assert_eq!(measure.of("a").ratio, None);
        assert_eq!(measure.of("b").ratio.map(|ratio| ratio.median), Some(2.0));
        assert!((measure.ratio("a", "b").median - 0.5).abs() < f64::EPSILON);
    }
}
