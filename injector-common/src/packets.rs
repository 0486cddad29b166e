//! The packets of a flow, where they are tracked: `--track packets`.
//!
//! A record beside that of the flow, so that flows whose packets are not
//! tracked pay nothing for it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Payload.
pub const DATA: u8 = 0;
/// An acknowledgement without payload.
pub const ACK: u8 = 1;
/// A keepalive probe: no payload, one below the sequence number that is due.
pub const PROBE: u8 = 2;
/// A keepalive probe with a byte of garbage (RFC 1122, 4.2.3.6). Payload of one
/// byte that is sent again looks the same to its receiver.
pub const GARBAGE_PROBE: u8 = 3;
/// A reset.
pub const RESET: u8 = 4;
/// The end of one direction, with payload or without.
pub const FIN: u8 = 5;
/// None of these, or nothing that can be read as a TCP segment.
pub const UNKNOWN: u8 = 6;
/// How many classes there are.
pub const CLASSES: usize = 7;

/// The packets of a flow; a value of the `PACKETS` map. Counts may miss one
/// where two processors count at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PacketRecord {
    /// From the peer.
    pub received: Traffic,
    /// To the peer.
    pub sent: Traffic,
}

impl PacketRecord {
    /// No packet yet.
    pub const NONE: Self = {
        let none = Traffic { last: 0, last_payload: 0, unanswered_probes: 0, counts: [0; CLASSES] };
        Self { received: none, sent: none }
    };
}

/// The packets of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Traffic {
    /// The last one, in jiffies; 0 for none.
    pub last: u32,
    /// The last one with payload, in jiffies; 0 for none.
    pub last_payload: u32,
    /// Probes since the other direction's last packet.
    pub unanswered_probes: u32,
    /// Packets by class.
    pub counts: [u32; CLASSES],
}

const _: () = assert!(size_of::<PacketRecord>() == 80);

/// Flags of a TCP header.
pub mod flag {
    #![expect(missing_docs, reason = "the names of RFC 9293, 3.1")]
    pub const FIN: u8 = 1 << 0;
    pub const SYN: u8 = 1 << 1;
    pub const RST: u8 = 1 << 2;
    pub const ACK: u8 = 1 << 4;
}

/// The fields of a segment's header that determine its class.
#[derive(Clone, Copy, Debug, Default)]
pub struct Segment {
    /// From [`flag`].
    pub flags: u8,
    /// Sequence number.
    pub sequence: u32,
    /// Bytes behind the header.
    pub payload: u32,
}

impl Segment {
    /// Its class, where `due` is the oldest sequence number that its receiver
    /// has not acknowledged.
    #[inline(always)]
    pub const fn class(&self, due: u32) -> u8 {
        let is_below = self.sequence == due.wrapping_sub(1);
        if self.flags & flag::RST != 0 {
            return RESET;
        }
        if self.flags & flag::SYN != 0 {
            return UNKNOWN;
        }
        if self.flags & flag::FIN != 0 {
            return FIN;
        }
        if self.flags & flag::ACK == 0 {
            return UNKNOWN;
        }
        match self.payload {
            0 if is_below => PROBE,
            0 => ACK,
            1 if is_below => GARBAGE_PROBE,
            _ => DATA,
        }
    }

    /// Whether it carries something for an application.
    #[inline(always)]
    pub const fn has_payload(&self, class: u8) -> bool {
        matches!(class, DATA | FIN) && self.payload > 0
    }
}

impl Traffic {
    /// Counts a packet, and stamps it. What does not change is not written: the
    /// next processor may still have it in its cache.
    #[inline(always)]
    pub fn note(&mut self, ticks: u32, class: u8, has_payload: bool) {
        if self.last != ticks {
            self.last = ticks;
        }
        if has_payload && self.last_payload != ticks {
            self.last_payload = ticks;
        }
        if matches!(class, PROBE | GARBAGE_PROBE) {
            self.unanswered_probes = self.unanswered_probes.saturating_add(1);
        }
        if let Some(count) = self.counts.get_mut(usize::from(class)) {
            *count = count.wrapping_add(1);
        }
    }

    /// A packet of the other direction answers all probes.
    #[inline(always)]
    pub fn answered(&mut self) {
        if self.unanswered_probes != 0 {
            self.unanswered_probes = 0;
        }
    }
}

/// What follows an IPv6 extension header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// So many bytes on.
    After(u32),
    /// Nothing more that can be read: the header is of another kind, or the
    /// packet is a later fragment.
    Nothing,
}

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

/// Where the header after an extension header starts. `start` is the first four
/// bytes of the extension header of type `kind` (RFC 8200, 4; RFC 4302, 2).
#[inline(always)]
pub const fn next_header(kind: u8, start: [u8; 4]) -> Next {
    let length = start[1] as u32;
    match kind {
        HOP_BY_HOP | ROUTING | DESTINATION => Next::After((length + 1) * 8),
        AUTHENTICATION => Next::After((length + 2) * 4),
        // The offset takes the upper 13 bits.
        FRAGMENT if u16::from_be_bytes([start[2], start[3]]) >> 3 == 0 => Next::After(8),
        _ => Next::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUE: u32 = 1000;
    const PLAIN: Segment = Segment { flags: flag::ACK, sequence: DUE, payload: 0 };

    #[test]
    fn classes() {
        let below = DUE - 1;
        let table = [
            ("payload", Segment { payload: 1, ..PLAIN }, DATA),
            ("sent again", Segment { payload: 2, sequence: below, ..PLAIN }, DATA),
            ("acknowledgement", PLAIN, ACK),
            ("probe", Segment { sequence: below, ..PLAIN }, PROBE),
            ("garbage", Segment { sequence: below, payload: 1, ..PLAIN }, GARBAGE_PROBE),
            ("reset", Segment { flags: flag::RST, ..PLAIN }, RESET),
            ("reset with all flags", Segment { flags: 0xff, ..PLAIN }, RESET),
            ("end", Segment { flags: flag::FIN | flag::ACK, ..PLAIN }, FIN),
            ("end of a probe's number", Segment { flags: flag::FIN | flag::ACK, sequence: below, ..PLAIN }, FIN),
            ("beginning", Segment { flags: flag::SYN | flag::ACK, ..PLAIN }, UNKNOWN),
            ("no flag at all", Segment { flags: 0, ..PLAIN }, UNKNOWN),
        ];
        for (case, segment, class) in table {
            assert_eq!(segment.class(DUE), class, "{case}");
        }
        assert_eq!(Segment { sequence: u32::MAX, ..PLAIN }.class(0), PROBE, "numbers wrap");
    }

    #[test]
    fn garbage_is_no_payload() {
        for (class, payload, expected) in
            [(DATA, 9, true), (FIN, 9, true), (FIN, 0, false), (GARBAGE_PROBE, 1, false), (RESET, 9, false)]
        {
            assert_eq!(Segment { payload, ..PLAIN }.has_payload(class), expected, "{class}");
        }
    }

    #[test]
    fn packets_are_counted_and_stamped() {
        let mut direction = Traffic::default();
        direction.note(7, DATA, true);
        direction.note(8, PROBE, false);
        direction.note(9, PROBE, false);
        assert_eq!((direction.last, direction.last_payload, direction.unanswered_probes), (9, 7, 2));
        assert_eq!(direction.counts, [1, 0, 2, 0, 0, 0, 0]);
        direction.answered();
        assert_eq!(direction.unanswered_probes, 0);
    }

    #[test]
    fn extension_headers() {
        let table = [
            (HOP_BY_HOP, [6, 0, 0, 0], Next::After(8)),
            (ROUTING, [6, 2, 0, 0], Next::After(24)),
            (DESTINATION, [6, 255, 0, 0], Next::After(2048)),
            (AUTHENTICATION, [6, 4, 0, 0], Next::After(24)),
            (FRAGMENT, [6, 0, 0, 1], Next::After(8)),
            (FRAGMENT, [6, 0, 0, 8], Next::Nothing),
            (59, [6, 0, 0, 0], Next::Nothing),
        ];
        for (kind, start, expected) in table {
            assert_eq!(next_header(kind, start), expected, "{kind} {start:?}");
        }
    }
}
