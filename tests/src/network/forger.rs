//! Packets that no honest peer sends (`peers/forge.py`).

use serde_json::Value;

use crate::deadline::SOON;
use crate::host::netns::Netns;
use crate::peers::peer::PYTHON;
use crate::peers::socket::Socket;
use crate::programs::process::{Place, Process};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/forge.py");

/// Sends packets in the name of sockets on the loopback device of a namespace.
#[derive(Debug)]
pub struct Forger {
    process: Process,
}

impl Forger {
    /// Begins to listen, and returns once no packet can be missed.
    pub fn listen(netns: &Netns) -> Self {
        // Fragments belong to no socket whose route they could take, and the loopback addresses take no others.
        netns.sysctl("net.ipv4.conf.lo.accept_local", "1");
        netns.sysctl("net.ipv4.conf.lo.route_localnet", "1");
        let mut process = Process::spawn(Place::netns(netns), PYTHON, &[SCRIPT]);
        assert_eq!(process.expect_line(SOON), "listening");
        Self { process }
    }

    /// Sends a packet from one socket to another, that looks as `how` says (see the script). Something must have passed
    /// between them before.
    pub fn forge(&mut self, from: &Socket, to: &Socket, mut how: Value) {
        how["from"] = from.local.port().into();
        how["to"] = to.local.port().into();
        self.process.send_line(&how.to_string());
        assert_eq!(self.process.expect_line(SOON), "done", "{how}");
    }
}
