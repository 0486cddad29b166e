//! A real server of any kind that stays in the foreground.

use crate::deadline::{SOON, eventually};
use crate::host::netns::Netns;
use crate::programs::process::{Place, Process};

/// A server. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    process: Process,
}

impl Server {
    /// Starts a program, and returns once something listens on that port of the namespace.
    pub fn start(netns: &Netns, program: &str, arguments: &[&str], port: u16) -> Self {
        let mut process = Process::spawn(Place::netns(netns), program, arguments);
        let filter = format!("sport = :{port}");
        eventually(&format!("{program} listens on port {port}"), SOON, || {
            let ended = process.has_ended();
            assert!(!ended, "{program} ended:\n{}\n{}", process.rest().join("\n"), process.stderr());
            (!netns.tool("ss", &["-H", "-l", "-t", "-n", &filter]).is_empty()).then_some(())
        });
        Self { process }
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}
