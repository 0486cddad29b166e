//! The table kernel by feature, in Markdown that is also fit for a terminal.

use super::report::{Outcome, Report};

/// The table, and below it why something is not there.
pub(super) fn markdown(reports: &[Report]) -> String {
    let mut rows = vec![head(reports), Vec::new()];
    rows.extend(features(reports).into_iter().map(|feature| row(feature, reports)));
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..=reports.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = widths.iter().enumerate().map(|(column, &width)| match row.get(column) {
            Some(cell) => format!("{cell:width$}"),
            None => "-".repeat(width),
        });
        text.extend(["| ", &cells.collect::<Vec<_>>().join(" | "), " |\n"]);
    }
    let reasons: Vec<String> = reports.iter().flat_map(reasons).collect();
    if !reasons.is_empty() {
        text.extend(["\n", &reasons.concat()]);
    }
    text
}

fn head(reports: &[Report]) -> Vec<String> {
    let kernels = reports.iter().map(|report| format!("{} ({})", report.version(), report.kernel.suite));
    std::iter::once("feature".to_owned()).chain(kernels).collect()
}

/// In the order of the guest that got farthest.
fn features(reports: &[Report]) -> Vec<&str> {
    let farthest = reports.iter().max_by_key(|report| report.features.len());
    farthest.map_or_else(Vec::new, |report| report.features.iter().map(|(feature, _)| feature.as_str()).collect())
}

fn row(feature: &str, reports: &[Report]) -> Vec<String> {
    let cell = |report: &Report| match report.outcome(feature) {
        Some(Outcome::Ok) => "yes",
        Some(Outcome::Unsupported(_)) => "no",
        Some(Outcome::Failed(_)) => "FAILED",
        None => "?",
    };
    std::iter::once(feature.to_owned()).chain(reports.iter().map(|report| cell(report).to_owned())).collect()
}

fn reasons(report: &Report) -> impl Iterator<Item = String> {
    report.kernel.lacks.iter().map(|(feature, reason)| format!("- {}, {feature}: {reason}\n", report.version()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::kernels::Kernel;

    static OLD: Kernel = Kernel { name: "5.10", suite: "bullseye", lacks: &[("errors", "since 5.14")] };
    static NEW: Kernel = Kernel { name: "newest", suite: "sid", lacks: &[] };

    #[test]
    fn kernels_by_features_and_reasons() {
        let reports = [
            Report::parse(
                &OLD,
                "KERNEL 5.10.0-32-cloud-amd64\nFEATURE\tattach\tok\t\nFEATURE\terrors\tunsupported\tno\n",
            ),
            Report::parse(&NEW, "KERNEL 7.2.13+deb14-cloud-amd64\nFEATURE\tattach\tfailed\tno\n"),
        ];
        let expected = "\
| feature | 5.10 (bullseye) | 7.2 (sid) |
| ------- | --------------- | --------- |
| attach  | yes             | FAILED    |
| errors  | no              | ?         |

- 5.10, errors: since 5.14
";
        assert_eq!(markdown(&reports), expected);
    }
}
