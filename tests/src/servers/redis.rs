//! A real Redis server.

use std::time::Instant;

use tempfile::TempDir;

use crate::deadline::SOON;
use crate::programs::process::{Place, Process, left};

/// An empty server with Redis's own defaults for keepalive. Dropping it stops it.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    _data: TempDir,
}

impl Redis {
    /// The port it serves.
    pub const PORT: u16 = 6379;

    /// Starts a server that takes clients from anywhere.
    pub fn start(place: Place<'_>) -> Self {
        Self::start_with(place, "")
    }

    /// The same, with these lines as its `redis.conf`.
    pub fn start_with(place: Place<'_>, settings: &str) -> Self {
        let data = tempfile::tempdir().expect("there is room for a temporary directory");
        let directory = data.path().to_string_lossy();
        let configuration = data.path().join("redis.conf");
        std::fs::write(&configuration, settings).expect("the directory is ours");
        let configuration = configuration.to_string_lossy();
        let arguments =
            [&configuration, "--dir", &directory, "--save", "", "--protected-mode", "no", "--bind", "*", "-::*"];
        let mut process = Process::spawn(place, "redis-server", &arguments);
        let started = Instant::now();
        while !process.expect_line(left(started, SOON)).contains("Ready to accept connections") {}
        Self { process, _data: data }
    }
    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}
