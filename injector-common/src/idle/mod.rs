//! How long a flow has been idle, from the socket's own timestamps and counters.
//!
//! Activity is what was received, or was sent *and* acknowledged: it is unknown how far anything else came. An
//! acknowledgement is received as well, so on the wire only received segments count.
//!
//! Moments are in nanoseconds of `CLOCK_BOOTTIME`, which goes on while the
//! machine is suspended, as hops' timers do. The socket's timestamps do not:
//! they are in ticks of the kernel (jiffies, lowest 32 bits), and 0 where the
//! event never happened. At 1000 ticks a second they wrap after 49.7 days. So
//! each scan leaves in the flow record what it saw, and a stamp that has not
//! moved since then is no later activity.

use crate::record::{Seen, UNIT_NS, moment_ns, units};

/// The timestamps and counters of one socket at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Socket {
    /// Last payload received, in ticks.
    pub data_received: u32,
    /// Last ACK received, also the answer to our own probe, in ticks.
    pub ack_received: u32,
    /// Last probe of the peer, in ticks.
    pub probe_received: u32,
    /// When that payload was sent which the peer acknowledged last, in
    /// microseconds of `CLOCK_MONOTONIC`; 0 where there was none.
    pub acknowledged_us: u64,
    /// Segments received.
    pub segments_in: u32,
    /// Last packet received, in ticks; 0 where packets are not tracked.
    pub packet_received: u32,
}

/// The moment of a scan.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Nanoseconds since boot, suspended time included.
    pub boot_ns: u64,
    /// The same without suspended time.
    pub monotonic_ns: u64,
    /// Jiffies, lowest 32 bits.
    pub ticks: u32,
    /// Jiffies per second.
    pub ticks_per_second: u32,
}

impl Now {
    /// Time since `stamp` in nanoseconds, without suspended time and whole wraps.
    #[inline(always)]
    const fn age_ns(&self, stamp: u32) -> u64 {
        let ticks = self.ticks.wrapping_sub(stamp);
        // Another CPU may have stamped after our clock was read.
        let ticks = if ticks > u32::MAX - self.ticks_per_second { 0 } else { ticks as u64 };
        ticks * tick_ns(self.ticks_per_second)
    }

    /// How much of the time since boot was suspended, in units.
    #[inline(always)]
    const fn suspended(&self) -> u32 {
        units(self.boot_ns.saturating_sub(self.monotonic_ns))
    }
}

/// Length of a tick (`TICK_NSEC` in include/linux/jiffies.h).
#[inline(always)]
const fn tick_ns(ticks_per_second: u32) -> u64 {
    let rate = ticks_per_second as u64;
    match (1_000_000_000 + rate / 2).checked_div(rate) {
        Some(ns) => ns,
        None => 0,
    }
}

/// Idle times in milliseconds, and what the next scan needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// On the wire: since the last segment received.
    pub wire_ms: u64,
    /// Since the last payload received, or sent and acknowledged.
    pub application_ms: u64,
    /// By the kernel's own clock, as `keepalive_time_elapsed()` in
    /// include/net/tcp.h: what is older than this many milliseconds and still
    /// unanswered was left so.
    pub unheard_ms: u64,
    /// To be kept until the next scan.
    pub seen: Seen,
}

/// Computes how long a flow opened at `opened_ns` has been idle, where the last
/// scan left `before`.
///
/// Segments that arrived without any timestamp moving reveal what the timestamps miss: probes with a byte of garbage.
/// They were received since the last scan, so that scan's time is taken. In doubt the idle time is longer, so that a
/// warning comes early rather than late.
#[inline(always)]
pub fn measure(socket: &Socket, before: &Seen, opened_ns: u64, now: &Now) -> Idle {
    let look = Look::new(before, now);
    let (heard_ns, payload_ns) = (moment_ns(before.heard), moment_ns(before.payload));

    let has_received = socket.segments_in != before.segments_in;
    let acknowledged_ns = look.acknowledged(socket.acknowledged_us, has_received, payload_ns);
    let data = |known_ns| look.stamped(socket.data_received, before.data_received, known_ns);
    let payload_ns = later(payload_ns, later(data(payload_ns), acknowledged_ns));

    let control_ns = later(
        look.stamped(socket.ack_received, before.ack_received, heard_ns),
        look.stamped(socket.probe_received, before.probe_received, heard_ns),
    );
    let stamped_ns = later(data(heard_ns), control_ns);
    let is_unexplained = before.scanned != 0 && stamped_ns <= look.scanned_ns && has_received;
    let unexplained_ns = if is_unexplained { look.fresh(socket.packet_received) } else { 0 };
    let heard_ns = later(heard_ns, later(stamped_ns, unexplained_ns));

    let (heard_ns, payload_ns) = (later(heard_ns, opened_ns), later(payload_ns, opened_ns));
    let heard_ns = later(heard_ns, payload_ns);
    Idle {
        wire_ms: now.boot_ns.saturating_sub(heard_ns) / 1_000_000,
        application_ms: now.boot_ns.saturating_sub(payload_ns) / 1_000_000,
        unheard_ms: sooner(now.age_ns(socket.data_received), now.age_ns(socket.ack_received)) / 1_000_000,
        seen: Seen {
            scanned: units(now.boot_ns),
            heard: units(heard_ns),
            payload: units(payload_ns),
            suspended: look.suspended,
            segments_in: socket.segments_in,
            data_received: socket.data_received,
            ack_received: socket.ack_received,
            probe_received: socket.probe_received,
        },
    }
}

/// Two clocks that are read one after the other, and moments that are kept in
/// whole units, agree to this.
const SLACK_NS: u64 = 2 * UNIT_NS;

/// A scan, and how far back the one before it lies.
struct Look<'a> {
    now: &'a Now,
    scanned_ns: u64,
    /// Suspended time since boot, in units.
    suspended: u32,
    /// Suspended time since the last scan.
    slept_ns: u64,
}

impl<'a> Look<'a> {
    #[inline(always)]
    fn new(before: &Seen, now: &'a Now) -> Self {
        let slept = now.suspended().saturating_sub(before.suspended);
        // Two readings of the same may differ by a unit, which is also what is
        // cut off.
        let (suspended, slept_ns) =
            if slept < 2 { (before.suspended, 0) } else { (now.suspended(), moment_ns(slept + 1)) };
        Self { now, scanned_ns: moment_ns(before.scanned), suspended, slept_ns }
    }

    /// When `stamp` was, where the last scan saw `before` there and knew of
    /// activity at `known_ns`; 0 where it adds nothing to what is known.
    #[inline(always)]
    fn stamped(&self, stamp: u32, before: u32, known_ns: u64) -> u64 {
        if stamp == 0 {
            return 0;
        }
        if stamp != before {
            return self.fresh(stamp);
        }
        Self::unmoved(self.moment(self.now.age_ns(stamp)), known_ns)
    }

    /// The same for a moment of `CLOCK_MONOTONIC` in microseconds, which does
    /// not wrap, and can't be later than the last scan unless something was
    /// received since then.
    #[inline(always)]
    fn acknowledged(&self, sent_us: u64, has_received: bool, known_ns: u64) -> u64 {
        if sent_us == 0 {
            return 0;
        }
        let moment = self.moment(self.now.monotonic_ns.saturating_sub(sent_us * 1000));
        let awake = moment.saturating_sub(self.slept_ns);
        if has_received && awake > self.scanned_ns { awake } else { Self::unmoved(moment, known_ns) }
    }

    /// A stamp that has moved since the last scan, and so is later than that.
    /// Whether it is from before or after a suspension is unknown.
    #[inline(always)]
    fn fresh(&self, stamp: u32) -> u64 {
        let moment = if stamp == 0 { 0 } else { self.moment(self.now.age_ns(stamp)) };
        later(moment.saturating_sub(self.slept_ns), self.scanned_ns)
    }

    /// What has not moved is no later than what was known. It only looks so
    /// after a wrap or a suspension; otherwise it is more precise than what was
    /// kept.
    #[inline(always)]
    const fn unmoved(moment: u64, known_ns: u64) -> u64 {
        if moment < known_ns.saturating_add(SLACK_NS) { moment } else { 0 }
    }

    #[inline(always)]
    const fn moment(&self, age_ns: u64) -> u64 {
        self.now.boot_ns.saturating_sub(age_ns)
    }
}

/// `Ord::max` comes out as a call on BPF without inlining hints.
#[inline(always)]
const fn later(a: u64, b: u64) -> u64 {
    if a > b { a } else { b }
}

#[inline(always)]
const fn sooner(a: u64, b: u64) -> u64 {
    if a < b { a } else { b }
}

#[cfg(test)]
mod tests;
