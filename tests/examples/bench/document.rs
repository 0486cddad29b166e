//! The results as text: on the terminal, and in `docs/src/benchmarks.md`.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use crate::{
    plot,
    report::{Measure, Report, figure, shown},
};

/// What stands before the results.
const INTRODUCTION: &str = "# Benchmarks

Written by `cargo xtask bench --record`, which measures all of this on the machine it runs on. Alternatives are measured by
turns and compared within each round. Figures are medians, with the quartiles in parentheses: half of the samples lie
between them. A ratio is the median of the rounds' ratios to the first line.
";

/// A benchmark's result.
pub(crate) fn text(report: &Report) -> String {
    let mut lines = vec![report.about.clone(), String::new(), format!("{}.", report.machine)];
    if report.is_quick {
        lines.push("A quick run: too few samples to show anything but that it works.".to_owned());
    }
    for measure in &report.measures {
        lines.push(String::new());
        lines.extend(table(measure));
    }
    lines.extend([String::new(), "| must show | found | |".to_owned(), "|---|---|---|".to_owned()]);
    lines.extend(report.targets.iter().map(|target| {
        format!("| {} | {} | {} |", target.must, target.found, if target.met { "met" } else { "**not met**" })
    }));
    lines.push(String::new());
    if let Some(limits) = &report.limits {
        lines.extend([format!("What sets the limit: {limits}"), String::new()]);
    }
    lines.join("\n")
}

fn table(measure: &Measure) -> Vec<String> {
    let Measure { what, unit, series, note } = measure;
    let head = [format!("| {what} | {unit} | ratio |"), "|---|---|---|".to_owned()];
    let rows = series.iter().map(|series| {
        let value = if series.samples.len() > 1 { shown(series.spread) } else { figure(series.spread.median) };
        format!("| {} | {value} | {} |", series.name, series.ratio.map(shown).unwrap_or_default())
    });
    let note = note.iter().flat_map(|note| [String::new(), note.clone()]);
    head.into_iter().chain(rows).chain(note).collect()
}

/// Writes the document from the results in `results`, and puts their plots beside it.
pub(crate) fn record(document: &Path, results: &Path, names: &[&str]) -> Result<()> {
    let directory = document.parent().context("a document lies in a directory")?;
    fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    let mut parts = vec![INTRODUCTION.to_owned()];
    for name in names {
        let found = results.join(name).with_extension("json");
        let Ok(json) = fs::read_to_string(&found) else { continue };
        let report: Report = serde_json::from_str(&json).with_context(|| format!("reading {}", found.display()))?;
        let plot = format!("bench-{name}.svg");
        let beside = directory.join(&plot);
        fs::write(&beside, plot::svg(&report)).with_context(|| format!("writing {}", beside.display()))?;
        parts.push(format!("## {name}\n\n{}\n![{name}]({plot})\n", text(&report)));
    }
    fs::write(document, parts.join("\n")).with_context(|| format!("writing {}", document.display()))
}
