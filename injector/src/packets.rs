//! The packets of a flow as they are shown, where they are tracked.

use injector_common::packets::{CLASS_NAMES, Direction, GARBAGE_PROBE, PROBE, PacketRecord};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

/// The packets of a flow.
#[derive(Clone, Debug, Serialize)]
pub struct Packets {
    /// Whose keepalive probes were seen: `none`, `local`, `peer` or `both`.
    pub probed_by: &'static str,
    /// From the peer.
    pub received: Counts,
    /// To the peer.
    pub sent: Counts,
}

/// The packets of one direction: a key for each class, and one for the probes
/// that nothing has come back on.
#[derive(Clone, Debug)]
pub struct Counts(Direction);

impl Packets {
    /// Shows a record.
    pub fn of(record: &PacketRecord) -> Self {
        Self {
            probed_by: match (probes(&record.sent), probes(&record.received)) {
                (false, false) => "none",
                (true, false) => "local",
                (false, true) => "peer",
                (true, true) => "both",
            },
            received: Counts(record.received),
            sent: Counts(record.sent),
        }
    }
}

fn probes(direction: &Direction) -> bool {
    [PROBE, GARBAGE_PROBE].iter().any(|class| direction.counts[usize::from(*class)] > 0)
}

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Direction { counts, unanswered_probes, .. } = &self.0;
        let mut map = serializer.serialize_map(Some(CLASS_NAMES.len() + 1))?;
        for (name, count) in CLASS_NAMES.iter().zip(counts) {
            map.serialize_entry(name, count)?;
        }
        map.serialize_entry("unanswered_probes", unanswered_probes)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_probes() {
        let with = |class: u8| {
            let mut direction = Direction::default();
            direction.note(1, class, false);
            direction
        };
        let none = Direction::default();
        let table = [
            (none, none, "none"),
            (none, with(PROBE), "local"),
            (with(GARBAGE_PROBE), none, "peer"),
            (with(PROBE), with(PROBE), "both"),
        ];
        for (received, sent, expected) in table {
            assert_eq!(Packets::of(&PacketRecord { received, sent }).probed_by, expected);
        }
    }

    #[test]
    fn every_class_has_its_key() {
        let mut record = PacketRecord::default();
        record.sent.note(1, PROBE, false);
        let shown = serde_json::to_string(&Packets::of(&record).sent).expect("numbers");
        let expected =
            r#"{"data":0,"ack":0,"probe":1,"garbage_probe":0,"reset":0,"fin":0,"unknown":0,"unanswered_probes":1}"#;
        assert_eq!(shown, expected);
    }
}
