//! A plot for each benchmark: a dot per sample, up to some hundreds, and a line at each median.

use std::fmt::Write as _;

use crate::report::{Measure, Report, Series, figure};

const WIDTH: f64 = 860.0;
/// Left of it stand the names.
const LEFT: f64 = 240.0;
const RIGHT: f64 = 110.0;
const ROW: f64 = 22.0;
const HEAD: f64 = 30.0;
/// Of more samples some are omitted.
const MOST_DOTS: usize = 400;
/// Beyond this factor between the largest and the smallest sample the axis is logarithmic.
const DECADE: f64 = 10.0;

/// The plot as SVG.
pub(crate) fn svg(report: &Report) -> String {
    let mut body = String::new();
    let mut top = HEAD;
    for measure in &report.measures {
        panel(&mut body, measure, top);
        top += height(measure);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{top}\" viewBox=\"0 0 {WIDTH} {top}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"8\" y=\"18\" font-weight=\"bold\">{}</text>\n{body}</svg>\n",
        escaped(&format!("{} on {}", report.name, report.machine.kernel))
    )
}

#[expect(clippy::cast_precision_loss, reason = "few rows")]
fn height(measure: &Measure) -> f64 {
    HEAD + ROW * measure.series.len() as f64 + ROW
}

fn panel(body: &mut String, measure: &Measure, top: f64) {
    let axis = Axis::of(measure);
    let scale = if axis.is_logarithmic { ", logarithmic" } else { "" };
    let title = escaped(&format!("{} ({}{scale})", measure.what, measure.unit));
    line(body, &format!("<text x=\"8\" y=\"{}\" fill=\"#444\">{title}</text>", top + ROW));
    let mut y = top + HEAD;
    for (index, series) in measure.series.iter().enumerate() {
        y += ROW;
        row(body, series, &axis, y, COLOURS[index % COLOURS.len()]);
    }
}

/// Distinct for colour-blind readers, too (Okabe and Ito).
const COLOURS: [&str; 7] = ["#000000", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9"];

fn row(body: &mut String, series: &Series, axis: &Axis, y: f64, colour: &str) {
    let (name, middle) = (escaped(&series.name), y - 4.0);
    line(body, &format!("<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{name}</text>", LEFT - 12.0));
    for sample in series.samples.iter().step_by(series.samples.len().div_ceil(MOST_DOTS)) {
        let x = axis.place(*sample);
        line(body, &format!("<circle cx=\"{x:.1}\" cy=\"{middle}\" r=\"3\" fill=\"{colour}\" fill-opacity=\"0.3\"/>"));
    }
    let x = axis.place(series.spread.median);
    let (from, to) = (middle - 8.0, middle + 8.0);
    line(body, &format!("<path d=\"M{x:.1} {from}V{to}\" stroke=\"{colour}\" stroke-width=\"2\"/>"));
    let median = figure(series.spread.median);
    line(body, &format!("<text x=\"{}\" y=\"{y}\">{median}</text>", WIDTH - RIGHT + 16.0));
}

fn line(body: &mut String, text: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(body, "{text}");
}

/// From samples to places on the paper.
struct Axis {
    least: f64,
    most: f64,
    is_logarithmic: bool,
}

impl Axis {
    fn of(measure: &Measure) -> Self {
        let samples = || measure.series.iter().flat_map(|series| &series.samples).copied();
        let (least, most) = (samples().fold(f64::INFINITY, f64::min), samples().fold(f64::NEG_INFINITY, f64::max));
        let is_logarithmic = least > 0.0 && most / least > DECADE;
        Self { least: if is_logarithmic { least } else { least.min(0.0) }, most, is_logarithmic }
    }

    fn place(&self, value: f64) -> f64 {
        let share = if self.is_logarithmic {
            (value / self.least).ln() / (self.most / self.least).ln()
        } else {
            (value - self.least) / (self.most - self.least).max(f64::MIN_POSITIVE)
        };
        LEFT + (WIDTH - LEFT - RIGHT) * share
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(samples: Vec<f64>) -> Axis {
        Axis::of(&Measure::new("time", "s", vec![("a".to_owned(), samples)]))
    }

    #[test]
    fn axes_reach_from_side_to_side() {
        for (samples, is_logarithmic) in
            [(vec![2.0, 5.0], false), (vec![1.0, 1000.0], true), (vec![0.0, 1000.0], false)]
        {
            let axis = axis(samples);
            assert_eq!(axis.is_logarithmic, is_logarithmic);
            assert!((axis.place(axis.least) - LEFT).abs() < 1e-6);
            assert!((axis.place(axis.most) - (WIDTH - RIGHT)).abs() < 1e-6);
        }
    }

    #[test]
    fn names_are_no_markup() {
        assert_eq!(escaped("a<b&c"), "a&lt;b&amp;c");
    }
}
