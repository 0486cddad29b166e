//! Connections that come and go all the time (`peers/churn.py`).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::deadline::SOON;
use crate::peers::peer::PYTHON;
use crate::programs::process::{Place, Process};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/churn.py");

/// How many connections, and how fast.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Connections a second, at most.
    pub rate: u32,
    /// Connections in all.
    pub count: u32,
    /// Connections between two lines of progress.
    pub step: u32,
}

/// A running program that opens connections to itself and closes them at once.
#[derive(Debug)]
pub struct Churn {
    process: Process,
    load: Load,
}

/// What the connections had.
#[derive(Clone, Debug, Deserialize)]
pub struct ChurnReport {
    /// How many there were.
    pub connections: u32,
    /// Those with a socket, on either side, that had no keepalive.
    pub unprotected: u32,
    /// Sockets by `TCP_KEEPIDLE`, in seconds.
    pub idle: BTreeMap<String, u32>,
}

impl Churn {
    /// Starts the program.
    pub fn start(place: Place<'_>, load: Load) -> Self {
        let arguments = [load.rate, load.count, load.step].map(|number| number.to_string());
        let process = Process::spawn(place, PYTHON, &[SCRIPT, &arguments[0], &arguments[1], &arguments[2]]);
        Self { process, load }
    }

    /// Waits until one more step of connections was there. False once it was the last.
    pub fn step(&mut self) -> bool {
        let opened: u32 = self.process.expect_line(self.patience()).parse().expect("the number of connections");
        self.load.count - opened >= self.load.step
    }

    /// Asks for the end, whatever is left, and waits for it.
    pub fn end(mut self) -> ChurnReport {
        self.process.close_stdin();
        self.report()
    }

    /// Waits for the end.
    pub fn report(mut self) -> ChurnReport {
        loop {
            let line = self.process.expect_line(self.patience());
            if line.starts_with('{') {
                return serde_json::from_str(&line).expect("the program reports in JSON");
            }
        }
    }

    /// Far longer than a step takes, and some time to start.
    fn patience(&self) -> Duration {
        SOON + Duration::from_secs(10) * self.load.step / self.load.rate
    }
}
