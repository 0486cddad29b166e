//! How long a flow has been silent, told from the socket's own timestamps and
//! counters.
//!
//! The timestamps are in ticks of the kernel (jiffies, lowest 32 bits), and 0
//! where the event never happened.

use crate::{packets::PacketRecord, record::Seen};

/// The timestamps and counters of one socket at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Socket {
    /// Last payload sent.
    pub data_sent: u32,
    /// Last payload received.
    pub data_received: u32,
    /// Last ACK received, also the answer to our own probe.
    pub ack_received: u32,
    /// Last probe of the peer.
    pub probe_received: u32,
    /// Segments received.
    pub segments_in: u32,
    /// Segments sent.
    pub segments_out: u32,
    /// Our probes without an answer.
    pub unanswered_probes: u8,
    /// Its packets, where they are tracked; otherwise none.
    pub packets: PacketRecord,
}

/// The moment of a scan.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Monotonic nanoseconds.
    pub ns: u64,
    /// Jiffies, lowest 32 bits.
    pub ticks: u32,
    /// Jiffies per second.
    pub ticks_per_second: u32,
}

impl Now {
    /// When `stamp` was, in monotonic nanoseconds; never before `opened_ns`,
    /// which also is the answer for an event that never happened.
    #[inline(always)]
    fn when(&self, stamp: u32, opened_ns: u64) -> u64 {
        if stamp == 0 || self.ticks_per_second == 0 {
            return opened_ns;
        }
        let ticks = self.ticks.wrapping_sub(stamp);
        // Another CPU may have stamped after our clock was read.
        let ticks = if ticks > u32::MAX - self.ticks_per_second { 0 } else { u64::from(ticks) };
        let age_ns = ticks * 1_000_000_000 / u64::from(self.ticks_per_second);
        later(self.ns.saturating_sub(age_ns), opened_ns)
    }
}

/// Silence in milliseconds, and what the next scan needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// On the wire: since the last segment either way that a hop could see.
    pub wire_ms: u64,
    /// Since the last payload either way.
    pub application_ms: u64,
    /// To be kept until the next scan.
    pub seen: Seen,
}

/// Tells how long a flow opened at `opened_ns` has been silent.
///
/// Segment counters that moved without any timestamp moving give away what
/// the timestamps miss: probes with a byte of garbage, window updates. All
/// they tell is "since the last scan", so that scan's time is taken. Segments
/// sent while probes are unanswered are no activity: nobody knows how far
/// they came. Every doubt makes the silence longer, so that a warning comes
/// early rather than late.
#[inline(always)]
pub fn measure(socket: &Socket, before: &Seen, opened_ns: u64, now: &Now) -> Idle {
    let when = |stamp| now.when(stamp, opened_ns);
    let is_answered = socket.unanswered_probes == 0;
    let PacketRecord { received, sent } = &socket.packets;
    let packets_ns = later(when(received.last), if is_answered { when(sent.last) } else { opened_ns });
    let payload_ns = later(when(received.last_payload), when(sent.last_payload));
    let data_ns = later(later(when(socket.data_sent), when(socket.data_received)), payload_ns);
    let control_ns = later(later(when(socket.ack_received), when(socket.probe_received)), packets_ns);
    let stamped_ns = later(data_ns, control_ns);

    let received = socket.segments_in != before.segments_in;
    let sent = socket.segments_out != before.segments_out && is_answered;
    let unexplained = before.scanned_ns != 0 && stamped_ns <= before.scanned_ns && (received || sent);
    let active_ns = if unexplained { before.scanned_ns } else { before.active_ns };

    Idle {
        wire_ms: now.ns.saturating_sub(later(stamped_ns, active_ns)) / 1_000_000,
        application_ms: now.ns.saturating_sub(data_ns) / 1_000_000,
        seen: Seen {
            scanned_ns: now.ns,
            active_ns,
            segments_in: socket.segments_in,
            segments_out: socket.segments_out,
        },
    }
}

/// `Ord::max` comes out as a call on BPF without inlining hints.
#[inline(always)]
const fn later(a: u64, b: u64) -> u64 {
    if a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::packets::Direction;

    const SECOND: u64 = 1_000_000_000;

    fn now(seconds: u64) -> Now {
        Now { ns: seconds * SECOND, ticks: ticks(seconds), ticks_per_second: 250 }
    }

    /// Jiffies start five minutes before they wrap.
    fn ticks(seconds: u64) -> u32 {
        (-300 * 250_i32).cast_unsigned().wrapping_add(u32::try_from(seconds * 250).unwrap())
    }

    fn scanned(seconds: u64, segments_in: u32, segments_out: u32) -> Seen {
        Seen { scanned_ns: seconds * SECOND, active_ns: 0, segments_in, segments_out }
    }

    #[test]
    fn the_latest_event_counts() {
        let base = Socket { data_sent: ticks(1010), ..Socket::default() };
        let table = [
            ("sent", base, 90, 90),
            ("received", Socket { data_received: ticks(1020), ..base }, 80, 80),
            ("probe answered", Socket { ack_received: ticks(1050), ..base }, 50, 90),
            ("peer's probe", Socket { probe_received: ticks(1070), ..base }, 30, 90),
        ];
        for (case, socket, wire_s, application_s) in table {
            let idle = measure(&socket, &Seen::default(), 1000 * SECOND, &now(1100));
            assert_eq!((idle.wire_ms, idle.application_ms), (wire_s * 1000, application_s * 1000), "{case}");
        }
    }

    #[test]
    fn packets_tell_what_the_socket_does_not() {
        let base = Socket { data_sent: ticks(1010), ..Socket::default() };
        let packets = |received, sent| PacketRecord {
            received: Direction { last: ticks(received), last_payload: ticks(1030), ..Direction::default() },
            sent: Direction { last: ticks(sent), ..Direction::default() },
        };
        let table = [
            ("received", Socket { packets: packets(1060, 1040), ..base }, 40, 70),
            ("sent", Socket { packets: packets(1060, 1080), ..base }, 20, 70),
            ("sent in vain", Socket { packets: packets(1060, 1080), unanswered_probes: 1, ..base }, 40, 70),
        ];
        for (case, socket, wire_s, application_s) in table {
            let idle = measure(&socket, &Seen::default(), 1000 * SECOND, &now(1100));
            assert_eq!((idle.wire_ms, idle.application_ms), (wire_s * 1000, application_s * 1000), "{case}");
        }
    }

    #[test]
    fn silence_never_exceeds_the_age() {
        let idle = measure(&Socket::default(), &Seen::default(), 1000 * SECOND, &now(1007));
        assert_eq!((idle.wire_ms, idle.application_ms), (7000, 7000));
    }

    #[test]
    fn a_stamp_of_zero_never_happened() {
        // 300 s after boot the tick counter passes 0.
        let socket = Socket { data_sent: ticks(200), ..Socket::default() };
        let idle = measure(&socket, &Seen::default(), 200 * SECOND, &now(301));
        assert_eq!(idle.wire_ms, 101_000);
    }

    #[test]
    fn a_stamp_from_another_cpu_may_lie_ahead() {
        let socket = Socket { data_received: ticks(1100) + 1, ..Socket::default() };
        assert_eq!(measure(&socket, &Seen::default(), 900 * SECOND, &now(1100)).wire_ms, 0);
    }

    #[test]
    fn counters_tell_what_timestamps_miss() {
        let quiet = Socket { data_sent: ticks(1000), segments_in: 5, segments_out: 5, ..Socket::default() };
        let table = [
            ("nothing moved", quiet, scanned(1050, 5, 5), 100),
            ("never scanned before", quiet, Seen::default(), 100),
            ("garbage probe", Socket { segments_in: 6, segments_out: 6, ..quiet }, scanned(1050, 5, 5), 50),
            ("window update", Socket { segments_out: 6, ..quiet }, scanned(1050, 5, 5), 50),
            (
                "probe nobody answers",
                Socket { segments_out: 6, unanswered_probes: 1, ..quiet },
                scanned(1050, 5, 5),
                100,
            ),
            (
                "explained by a stamp",
                Socket { ack_received: ticks(1080), segments_in: 6, ..quiet },
                scanned(1050, 5, 5),
                20,
            ),
        ];
        for (case, socket, before, wire_s) in table {
            assert_eq!(measure(&socket, &before, 900 * SECOND, &now(1100)).wire_ms, wire_s * 1000, "{case}");
        }
    }

    #[test]
    fn what_counters_told_is_remembered() {
        let socket = Socket { data_sent: ticks(1000), segments_in: 6, ..Socket::default() };
        let first = measure(&socket, &scanned(1050, 5, 0), 900 * SECOND, &now(1100));
        let second = measure(&socket, &first.seen, 900 * SECOND, &now(1110));
        assert_eq!((first.wire_ms, second.wire_ms), (50_000, 60_000));
    }

    proptest! {
        /// Whatever the tick rate and wherever the counter stands, the error
        /// stays within one tick.
        #[test]
        fn exact_to_a_tick(rate in prop::sample::select(&[100_u32, 250, 300, 1000][..]), stamp in 1_u32.., age_ticks in 0_u32..400_000_000) {
            let now = Now { ns: u64::MAX / 2, ticks: stamp.wrapping_add(age_ticks), ticks_per_second: rate };
            let socket = Socket { data_sent: stamp, ..Socket::default() };
            let idle = measure(&socket, &Seen::default(), 0, &now);
            let expected_ms = u64::from(age_ticks) * 1000 / u64::from(rate);
            prop_assert!(idle.wire_ms.abs_diff(expected_ms) <= 1);
        }
    }
}
