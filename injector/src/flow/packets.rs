//! The packets of a flow as they are shown, where they are tracked.

use injector_common::packets::{ACK, DATA, FIN, GARBAGE_PROBE, PROBE, PacketRecord, RESET, Traffic, UNKNOWN};
use serde::{Deserialize, Serialize};

/// The packets of a flow.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Packets {
    /// Whose keepalive probes were seen.
    pub probed_by: ProbedBy,
    /// From the peer.
    pub received: Counts,
    /// To the peer.
    pub sent: Counts,
}

/// Ends of a flow that probe the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbedBy {
    /// None that was seen.
    None,
    /// Our end.
    Local,
    /// The other end.
    Peer,
    /// Each probes the other.
    Both,
}

/// The packets of one direction by class, as `injector_common::packets` has
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Counts {
    pub data: u32,
    pub ack: u32,
    pub probe: u32,
    pub garbage_probe: u32,
    pub reset: u32,
    pub fin: u32,
    pub unknown: u32,
    /// Probes that nothing has come back on yet.
    pub unanswered_probes: u32,
}

impl Packets {
    /// Shows a record.
    pub fn of(record: &PacketRecord) -> Self {
        let (received, sent) = (Counts::of(&record.received), Counts::of(&record.sent));
        let probed_by = match (sent.has_probes(), received.has_probes()) {
            (false, false) => ProbedBy::None,
            (true, false) => ProbedBy::Local,
            (false, true) => ProbedBy::Peer,
            (true, true) => ProbedBy::Both,
        };
        Self { probed_by, received, sent }
    }
}

impl Counts {
    fn of(direction: &Traffic) -> Self {
        let count = |class: u8| direction.counts[usize::from(class)];
        Self {
            data: count(DATA),
            ack: count(ACK),
            probe: count(PROBE),
            garbage_probe: count(GARBAGE_PROBE),
            reset: count(RESET),
            fin: count(FIN),
            unknown: count(UNKNOWN),
            unanswered_probes: direction.unanswered_probes,
        }
    }

    fn has_probes(&self) -> bool {
        self.probe > 0 || self.garbage_probe > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_probes() {
        let with = |class: u8| {
            let mut direction = Traffic::default();
            direction.note(1, class, false);
            direction
        };
        let none = Traffic::default();
        let table = [
            (none, none, ProbedBy::None),
            (none, with(PROBE), ProbedBy::Local),
            (with(GARBAGE_PROBE), none, ProbedBy::Peer),
            (with(PROBE), with(PROBE), ProbedBy::Both),
        ];
        for (received, sent, expected) in table {
            assert_eq!(Packets::of(&PacketRecord { received, sent }).probed_by, expected);
        }
    }

    #[test]
    fn keys() {
        let mut record = PacketRecord::default();
        record.sent.note(1, PROBE, false);
        let none =
            r#"{"data":0,"ack":0,"probe":0,"garbage_probe":0,"reset":0,"fin":0,"unknown":0,"unanswered_probes":0}"#;
        let sent =
            r#"{"data":0,"ack":0,"probe":1,"garbage_probe":0,"reset":0,"fin":0,"unknown":0,"unanswered_probes":1}"#;
        let shown = serde_json::to_string(&Packets::of(&record)).expect("numbers");
        assert_eq!(shown, format!(r#"{{"probed_by":"local","received":{none},"sent":{sent}}}"#));
    }
}
