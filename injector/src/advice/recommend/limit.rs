//! The limit that the settings must stay below, and the comment on it.

use std::time::Duration;

use injector_common::timer::probes_below;

use crate::{
    error::Error,
    rules::{
        settings,
        timing::{self, Timing},
    },
    units,
};

/// An idle timeout on the path, and the keepalive that prevents it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Idle timeout of the hop.
    pub timeout: Duration,
    /// Keepalive derived from it.
    pub timing: Timing,
    /// Name of the hop, where it is known.
    pub hop: Option<String>,
}

impl Limit {
    /// Derives keepalive from an idle timeout.
    ///
    /// Errors with [`Error::BadValue`] where keepalive can't serve it.
    pub(crate) fn new(timeout: Duration, hop: Option<String>) -> Result<Self, Error> {
        let timing = timing::derive(settings::limit(timeout)? / 1000);
        Ok(Self { timeout, timing, hop })
    }

    /// Whole seconds of the timeout.
    pub(super) fn seconds(&self) -> u32 {
        u32::try_from(self.timeout.as_secs()).unwrap_or(u32::MAX)
    }

    /// The same limit, served by other probe times.
    pub(super) fn served_by(&self, timing: Timing) -> Self {
        Self { timing, ..self.clone() }
    }

    /// Comment lines that say which limit is beaten, and how.
    pub(super) fn keepalive_comment(&self, mark: &str) -> String {
        let Timing { idle_s, interval_s, probes } = self.timing;
        let limit_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        let chances = match probes_below(limit_ms, idle_s, interval_s, probes) {
            1 => "one probe falls below the limit: if it is lost, so is the connection".to_owned(),
            below => format!("{below} probes fall below the limit, so {} may be lost", below - 1),
        };
        comment(
            mark,
            &format!(
                "{}\nFirst probe after {idle_s} s without activity, then every {interval_s} s:\n{chances}.",
                self.named()
            ),
        )
    }

    /// Comment lines for a hop, which drops idle connections and does not probe.
    pub(super) fn hop_comment(&self) -> String {
        let Timing { idle_s, interval_s, .. } = self.timing;
        let keepalive = format!("first probe after {idle_s} s without activity, then every {interval_s} s");
        let named = self.named();
        comment("#", &format!("{named}\nThe keepalive that serves it, set elsewhere: {keepalive}."))
    }

    /// Comment lines that say which limit is meant.
    pub(super) fn comment(&self, mark: &str) -> String {
        comment(mark, &self.named())
    }

    fn named(&self) -> String {
        let timeout = units::exact(self.timeout);
        match &self.hop {
            Some(hop) => format!("For the idle timeout of {timeout} of {hop}."),
            None => format!("For an idle timeout of {timeout}."),
        }
    }
}

/// Puts `mark` before every line, so that no name can break out of the comment.
fn comment(mark: &str, text: &str) -> String {
    text.split(['\n', '\r']).flat_map(|line| [mark, " ", line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_say_limit_and_chances() {
        let table = [
            (
                350,
                "For an idle timeout of 350s.",
                "First probe after 240 s without activity, then every 30 s:",
                "3 probes",
            ),
            (60, "For an idle timeout of 60s.", "First probe after 41 s without activity, then every 5 s:", "3 probes"),
            (2, "For an idle timeout of 2s.", "First probe after 1 s without activity, then every 1 s:", "one probe"),
        ];
        for (seconds, limit, probes, chances) in table {
            let comment = Limit::new(Duration::from_secs(seconds), None).expect("can be served").keepalive_comment(";");
            let lines: Vec<&str> = comment.lines().collect();
            assert_eq!(lines[..2], [format!("; {limit}"), format!("; {probes}")]);
            assert!(lines.len() == 3 && lines[2].starts_with(&format!("; {chances}")), "{comment}");
        }
    }

    #[test]
    fn limits_that_keepalive_cannot_serve() {
        for timeout in [Duration::ZERO, Duration::from_millis(1999), Duration::from_secs(50 * 86_400)] {
            let error = Limit::new(timeout, None).expect_err("out of range").to_string();
            assert!(error.contains("--timeout"), "{error}");
        }
    }
}
