//! Many idle clients of one Redis server (`peers/crowd.py`).

use std::time::Duration;

use serde::Deserialize;

use crate::deadline::SOON;
use crate::peers::peer::PYTHON;
use crate::programs::process::{Place, Process};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/crowd.py");

/// A running program and its connections.
#[derive(Debug)]
pub struct Crowd {
    process: Process,
}

/// The outcome of a PING on each connection.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub struct Pings {
    /// Answered in time.
    pub answered: usize,
    /// No answer came in time.
    pub unanswered: usize,
    /// The connection is broken.
    pub broken: usize,
}

impl Crowd {
    /// Opens `count` connections.
    pub fn connect(place: Place<'_>, address: &str, port: u16, count: usize) -> Self {
        let [port, count] = [port.to_string(), count.to_string()];
        let mut process = Process::spawn(place, PYTHON, &[SCRIPT, address, &port, &count]);
        assert_eq!(process.expect_line(SOON), count, "{}", process.stderr());
        Self { process }
    }

    /// The program's process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends PING on all connections at once.
    pub fn ping(&mut self, within: Duration) -> Pings {
        self.process.send_line(&within.as_secs_f64().to_string());
        let line = self.process.expect_line(within + SOON);
        serde_json::from_str(&line).expect("the program reports in JSON")
    }
}
