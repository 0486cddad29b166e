//! An independent witness of the wire: when did the last packet of a connection pass?

use std::time::{Duration, Instant};

use crate::deadline::SOON;
use crate::host::netns::Netns;
use crate::peers::peer::PYTHON;
use crate::peers::socket::Socket;
use crate::programs::process::{Place, Process};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/witness.py");

/// Captures packets on a device of a namespace.
#[derive(Debug)]
pub struct Witness {
    process: Process,
}

/// When something was last seen on the wire, as closely as the test can measure: between `from` and `to`.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    from: Instant,
    to: Instant,
}

impl Seen {
    /// Earliest and latest moment.
    pub const fn bounds(self) -> (Instant, Instant) {
        (self.from, self.to)
    }

    /// As far as the test can measure where it was seen now, and again `later`.
    #[must_use]
    pub const fn until(self, later: Self) -> Self {
        Self { from: self.from, to: later.to }
    }
}

impl Witness {
    /// Starts to watch, and returns once no packet can be missed.
    pub fn watch(netns: &Netns, device: &str) -> Self {
        let mut process = Process::spawn(Place::netns(netns), PYTHON, &[SCRIPT, device]);
        assert_eq!(process.expect_line(SOON), "watching");
        Self { process }
    }

    /// When the last packet of any kind passed between the two sockets.
    pub fn last_packet(&mut self, one: &Socket, other: &Socket) -> Seen {
        self.last(one, other, 0)
    }

    /// When the last payload passed. A keepalive probe carries none.
    pub fn last_payload(&mut self, one: &Socket, other: &Socket) -> Seen {
        self.last(one, other, 1)
    }

    fn last(&mut self, one: &Socket, other: &Socket, column: usize) -> Seen {
        let asked = Instant::now();
        self.process.send_line(&format!("{} {}", one.local.port(), other.local.port()));
        let answer = self.process.expect_line(SOON);
        let answered = Instant::now();
        let seconds = answer.split(' ').nth(column).and_then(|text| text.parse().ok());
        let Some(age) = seconds.map(Duration::from_secs_f64) else {
            panic!("no such packet between {} and {}: {answer}", one.local, other.local)
        };
        let before = |moment: Instant| moment.checked_sub(age).expect("packets pass after the machine started");
        Seen { from: before(asked), to: before(answered) }
    }
}
