//! Many connections that open, idle and close (`peers/tide.py`).

use std::time::Duration;

use crate::peers::peer::PYTHON;
use crate::programs::process::{Place, Process};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/tide.py");
const FILLS_WITHIN: Duration = Duration::from_secs(120);

/// A running program and its connections.
#[derive(Debug)]
pub struct Tide {
    process: Process,
}

impl Tide {
    /// Opens `count` connections and keeps as many open, each for up to `lifetime`. It goes on for as long as it `lasts`.
    pub fn rise(place: Place<'_>, count: usize, lifetime: Duration, lasts: Duration) -> Self {
        let arguments = [count.to_string(), lifetime.as_secs_f64().to_string(), lasts.as_secs_f64().to_string()];
        let mut process = Process::spawn(place, PYTHON, &[SCRIPT, &arguments[0], &arguments[1], &arguments[2]]);
        process.expect_line(FILLS_WITHIN);
        Self { process }
    }

    /// Waits for `within`. Returns how many connections were opened in all, once it is over.
    pub fn opened(&mut self, within: Duration) -> Option<u64> {
        let line = self.process.line(within);
        assert!(line.is_some() || !self.process.has_ended(), "it ended: {}", self.process.stderr());
        Some(line?.parse().expect("a number"))
    }
}
