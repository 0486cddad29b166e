//! The two text formats that Prometheus reads.

use std::fmt::Write as _;

use prometheus_client::{encoding::text, registry::Registry};

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' own, which everything reads.
    Prometheus,
}

impl TextFormat {
    /// The one to answer a request with, from its `Accept` header.
    pub fn accepted_by(accept: Option<&str>) -> Self {
        if accept.is_some_and(|accept| accept.contains("application/openmetrics-text")) {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// The answer's `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// All metrics of these registries.
pub(super) fn encode(registries: [&Registry; 2], format: TextFormat) -> String {
    let mut text = String::new();
    // Writing to a string can't fail, and no value here is one that the library refuses.
    for registry in registries {
        let _ = text::encode_registry(&mut text, registry);
    }
    let _ = text::encode_eof(&mut text);
    match format {
        TextFormat::OpenMetrics => text,
        TextFormat::Prometheus => prometheus(&text),
    }
}

/// Prometheus' text format of what the library writes.
///
/// Samples are the same in both. Comments differ: the library names a family (`x`, a counter), Prometheus the samples
/// (`x_total`); it calls an unknown type untyped, and has no info, no unit and no end.
fn prometheus(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut help = "";
    for line in openmetrics.lines() {
        let Some(comment) = line.strip_prefix("# ") else {
            text += line;
            text.push('\n');
            continue;
        };
        let mut words = comment.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("HELP"), _, words) => help = words.unwrap_or_default(),
            (Some("TYPE"), Some(family), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    other => ("", other),
                };
                // Writing to a string can't fail.
                let _ = write!(text, "# HELP {family}{suffix} {help}\n# TYPE {family}{suffix} {kind}\n");
            }
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_for_clients_that_accept_it() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
                            q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            (None, TextFormat::Prometheus),
            (Some("*/*"), TextFormat::Prometheus),
            (Some("text/plain;version=0.0.4"), TextFormat::Prometheus),
            (Some(prometheus_2), TextFormat::OpenMetrics),
        ] {
            assert_eq!(TextFormat::accepted_by(accept), format, "{accept:?}");
        }
    }

    #[test]
    fn comments_are_translated() {
        let openmetrics = "# HELP a Counts.\n# TYPE a counter\na_total{x=\"# HELP\"} 1\n\
                           # HELP b Built.\n# TYPE b info\nb_info{v=\"1\"} 1\n\
                           # HELP c_bytes Sized.\n# TYPE c_bytes gauge\n# UNIT c_bytes bytes\nc_bytes 1.5\n\
                           # HELP d Unknown.\n# TYPE d unknown\nd 1\n# EOF\n";
        let expected = "# HELP a_total Counts.\n# TYPE a_total counter\na_total{x=\"# HELP\"} 1\n\
                        # HELP b_info Built.\n# TYPE b_info gauge\nb_info{v=\"1\"} 1\n\
                        # HELP c_bytes Sized.\n# TYPE c_bytes gauge\nc_bytes 1.5\n\
                        # HELP d Unknown.\n# TYPE d untyped\nd 1\n";
        assert_eq!(prometheus(openmetrics), expected);
    }
}
