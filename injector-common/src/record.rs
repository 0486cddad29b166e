//! A flow as its socket's storage keeps it, and as a scan writes it out.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{applied::Applied, decision::Selection, keepalive::Keepalive, packets::PacketRecord};

/// The flow was seen when its connection was established.
pub const ESTABLISHED: u8 = 0;
/// The flow was open before, and was taken over from its process.
pub const ADOPTED: u8 = 1;

/// No flow: a listener that adoption set options on, for the sake of what it
/// accepts. The place of its peer holds the earlier values.
pub const LISTENER: u8 = 2;

/// Length of the units in which a record keeps moments: a quarter of a second,
/// give or take, so that 32 bits last for 36 years.
pub const UNIT_NS: u64 = 1 << UNIT_SHIFT;
const UNIT_SHIFT: u32 = 28;

/// Nanoseconds in whole units.
#[inline(always)]
pub const fn units(ns: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "no machine is up for 36 years")]
    let units = (ns >> UNIT_SHIFT) as u32;
    units
}

/// Units in nanoseconds.
#[inline(always)]
pub const fn moment_ns(units: u32) -> u64 {
    (units as u64) << UNIT_SHIFT
}

/// Addresses and ports of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Endpoints {
    /// Our address as IPv6 words in network byte order; IPv4 is mapped.
    pub local_address: [u32; 4],
    /// The peer's address, likewise.
    pub peer_address: [u32; 4],
    /// Our port, in host byte order.
    pub local_port: u16,
    /// The peer's port, in host byte order.
    pub peer_port: u16,
}

/// IPv4 address that the self-test connects to, a loopback address that hardly any program uses. Its connections are not
/// counted.
pub const SELF_TEST: [u8; 4] = [127, 83, 69, 76];

/// Third word of an IPv6 address that stands for an IPv4 address.
const MAPPED: u32 = 0xffff_u32.to_be();

impl Endpoints {
    /// Whether both ends are this host's own by their addresses alone: loopback,
    /// or one address at both ends, which the kernel's `local` routing table
    /// leads to loopback as well. No hop lies between them.
    #[inline(always)]
    pub const fn are_local(&self) -> bool {
        let (ours, theirs) = (&self.local_address, &self.peer_address);
        is_loopback(ours) && is_loopback(theirs)
            || ours[0] == theirs[0] && ours[1] == theirs[1] && ours[2] == theirs[2] && ours[3] == theirs[3]
    }

    /// Whether it is a connection of the self-test, which leads to [`SELF_TEST`].
    #[inline(always)]
    pub const fn are_of_self_test(&self) -> bool {
        let [a, b, c, d] = self.peer_address;
        a == 0 && b == 0 && c == MAPPED && d == u32::from_ne_bytes(SELF_TEST)
    }

    /// What a [`LISTENER`] has in this place: whether keepalive was on, and the
    /// parameters that were effective.
    pub const fn of_listener(was_enabled: bool, before: &Keepalive) -> Self {
        let Keepalive { idle_s, interval_s, probes, user_timeout_ms } = *before;
        Self {
            local_address: [0; 4],
            peer_address: [idle_s, interval_s, probes, user_timeout_ms],
            local_port: 0,
            peer_port: was_enabled as u16,
        }
    }

    /// The reverse.
    pub const fn before_adoption(&self) -> (bool, Keepalive) {
        let [idle_s, interval_s, probes, user_timeout_ms] = self.peer_address;
        (self.peer_port != 0, Keepalive { idle_s, interval_s, probes, user_timeout_ms })
    }
}

/// `127.0.0.0/8` or `::1`.
#[inline(always)]
const fn is_loopback(address: &[u32; 4]) -> bool {
    let [a, b, c, d] = *address;
    let is_v4 = c == 0xffff_u32.to_be() && u32::from_be(d) >> 24 == 127;
    let is_v6 = c == 0 && d == 1_u32.to_be();
    a == 0 && b == 0 && (is_v4 || is_v6)
}

/// What a socket's storage holds: the state of record of a flow. The kernel
/// frees it with its socket.
///
/// What every scan touches comes first: the kernel puts the first 56 bytes
/// into one cache line (`struct bpf_local_storage_data`), and a scan is bound
/// by memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FlowRecord {
    /// Kernel's socket cookie. Kept here because an iterator can't ask for it
    /// before 5.12.
    pub cookie: u64,
    /// When the connection was established, in nanoseconds since boot, suspended
    /// time included; for an adopted one the earliest moment at which it is known
    /// to have been there.
    pub opened_ns: u64,
    /// What the last scan saw.
    pub seen: Seen,
    /// Status last reported to the watcher, if that was a finding; otherwise 0.
    pub reported: u8,
    /// [`crate::stats::ACTIVE`] or [`crate::stats::PASSIVE`].
    pub direction: u8,
    /// Outcome of the socket, from [`crate::stats`].
    pub outcome: u8,
    /// [`ESTABLISHED`], [`ADOPTED`] or [`LISTENER`].
    pub origin: u8,
    /// Which limits apply, by the rules of [`Self::generation`].
    pub choice: Selection,
    /// The rules that [`Self::choice`] was made by.
    pub generation: u32,
    /// What was set.
    pub applied: Applied,
    /// Addresses and ports.
    pub endpoints: Endpoints,
}

const _: () = assert!(size_of::<FlowRecord>() == 120);

/// What the last scan saw, and what followed from it. Establishment counts as a
/// scan. Moments are in [`units`] since boot, suspended time included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Seen {
    /// When the last scan came by; 0 where there is nothing to compare with yet.
    pub scanned: u32,
    /// When something was last received.
    pub heard: u32,
    /// When payload was last received, or sent and acknowledged.
    pub payload: u32,
    /// How much of the time since boot was suspended.
    pub suspended: u32,
    /// `segs_in`.
    pub segments_in: u32,
    /// The socket's stamps as in [`crate::idle::Socket`].
    pub data_received: u32,
    /// Likewise.
    pub ack_received: u32,
    /// Likewise.
    pub probe_received: u32,
}

impl Seen {
    /// The state at establishment.
    #[inline(always)]
    pub const fn established(boot_ns: u64, monotonic_ns: u64, segments_in: u32) -> Self {
        let now = units(boot_ns);
        Self {
            scanned: now,
            heard: now,
            payload: now,
            segments_in,
            // No stamp is known yet: the first scan takes all as later.
            ..Self::adopted(boot_ns, monotonic_ns)
        }
    }

    /// The state of a connection that was open before.
    #[inline(always)]
    pub const fn adopted(boot_ns: u64, monotonic_ns: u64) -> Self {
        Self {
            scanned: 0,
            heard: 0,
            payload: 0,
            suspended: units(boot_ns.saturating_sub(monotonic_ns)),
            segments_in: 0,
            data_received: 0,
            ack_received: 0,
            probe_received: 0,
        }
    }
}

/// A flow as a scan writes it out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FlowSample {
    /// Kernel's socket cookie.
    pub cookie: u64,
    /// Time since the connection was established, in milliseconds.
    pub age_ms: u64,
    /// Since the last segment received, in milliseconds.
    pub idle_ms: u64,
    /// Since the last payload received, or sent and acknowledged, in
    /// milliseconds.
    pub app_idle_ms: u64,
    /// Id of the socket's cgroup.
    pub cgroup_id: u64,
    /// Inode number of the socket, as in `/proc/PID/fd`; 0 where no process
    /// holds it any more.
    pub inode: u64,
    /// Inode number of its network namespace.
    pub netns: u32,
    /// Owner.
    pub uid: u32,
    /// Idle timeout of the hop in the flow's present state, in milliseconds.
    pub limit_ms: u32,
    /// Index of that hop, or [`crate::decision::NO_HOP`].
    pub hop: u32,
    /// Timer on the path that keepalive does not reset, in milliseconds; 0 for none.
    pub layer7_ms: u32,
    /// Index of the hop that has that timer, or [`crate::decision::NO_HOP`].
    pub layer7_hop: u32,
    /// Addresses and ports.
    pub endpoints: Endpoints,
    /// Effective parameters, sysctl defaults filled in.
    pub effective: Keepalive,
    /// Parameters set by us.
    pub applied: Keepalive,
    /// 1 where `SO_KEEPALIVE` is on.
    pub enabled: u8,
    /// Probes without an answer, by [`crate::status::unanswered`].
    pub unanswered_probes: u8,
    /// Retransmissions of the oldest unacknowledged segment, or probes of a
    /// closed window.
    pub retransmits: u8,
    /// TCP state, as in `include/net/tcp_states.h`.
    pub state: u8,
    /// [`crate::stats::ACTIVE`] or [`crate::stats::PASSIVE`].
    pub direction: u8,
    /// Outcome of the socket, from [`crate::stats`].
    pub outcome: u8,
    /// From [`crate::status`].
    pub status: u8,
    /// [`ESTABLISHED`] or [`ADOPTED`].
    pub origin: u8,
    /// Options that are set on the socket itself, as bits by their index in
    /// [`crate::stats::OPTION_NAMES`]; sysctls stand in for the others.
    pub own: u8,
    /// As in [`Applied`].
    pub asked: u8,
    /// As in [`Applied`].
    pub marks: u8,
    /// Explicit padding.
    pub padding: u8,
}

const _: () = assert!(size_of::<FlowSample>() == 152);

/// The same where packets are tracked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TrackedSample {
    /// The flow.
    pub flow: FlowSample,
    /// Its packets.
    pub packets: PacketRecord,
}

const _: () = assert!(size_of::<TrackedSample>() == size_of::<FlowSample>() + size_of::<PacketRecord>());

/// A flow in short, where only its place and its limits are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FlowBrief {
    /// Inode number of the socket; 0 where no process holds it any more.
    pub inode: u64,
    /// As in [`FlowSample`].
    pub hop: u32,
    /// As in [`FlowSample`].
    pub layer7_hop: u32,
}

const _: () = assert!(size_of::<FlowBrief>() == 16);

/// `TCP_ESTABLISHED` and its like, from `include/net/tcp_states.h`.
pub mod state {
    #![expect(missing_docs, reason = "the kernel's own names")]
    pub const ESTABLISHED: u8 = 1;
    pub const SYN_RECV: u8 = 3;
    pub const FIN_WAIT1: u8 = 4;
    pub const FIN_WAIT2: u8 = 5;
    pub const CLOSE_WAIT: u8 = 8;

    /// Whether a connection in `state` can still carry data in at least one
    /// direction.
    #[inline(always)]
    pub const fn is_live(state: u8) -> bool {
        matches!(state, ESTABLISHED | SYN_RECV | FIN_WAIT1 | FIN_WAIT2 | CLOSE_WAIT)
    }

    /// Whether one side has ended its direction: hops keep such a connection for
    /// much shorter than an established one.
    #[inline(always)]
    pub const fn is_half_closed(state: u8) -> bool {
        matches!(state, FIN_WAIT1 | FIN_WAIT2 | CLOSE_WAIT)
    }

    /// Its name, as `ss` has it without the dashes.
    pub const fn name(state: u8) -> &'static str {
        match state {
            ESTABLISHED => "ESTABLISHED",
            SYN_RECV => "SYN_RECV",
            FIN_WAIT1 => "FIN_WAIT1",
            FIN_WAIT2 => "FIN_WAIT2",
            CLOSE_WAIT => "CLOSE_WAIT",
            _ => "CLOSING",
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv6Addr};

    use super::*;

    #[test]
    fn states() {
        use state::*;
        let table = [
            (ESTABLISHED, "ESTABLISHED", true, false),
            (2, "CLOSING", false, false),
            (SYN_RECV, "SYN_RECV", true, false),
            (FIN_WAIT1, "FIN_WAIT1", true, true),
            (FIN_WAIT2, "FIN_WAIT2", true, true),
            (6, "CLOSING", false, false),
            (7, "CLOSING", false, false),
            (CLOSE_WAIT, "CLOSE_WAIT", true, true),
            (9, "CLOSING", false, false),
            (10, "CLOSING", false, false),
            (11, "CLOSING", false, false),
            (12, "CLOSING", false, false),
        ];
        for (state, expected, live, half_closed) in table {
            assert_eq!((name(state), is_live(state), is_half_closed(state)), (expected, live, half_closed), "{state}");
        }
    }

    fn words(address: &str) -> [u32; 4] {
        let address: Ipv6Addr = match address.parse().expect("an address") {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let bytes = address.octets();
        core::array::from_fn(|word| u32::from_ne_bytes(core::array::from_fn(|byte| bytes[4 * word + byte])))
    }

    #[test]
    fn ends_on_this_host() {
        let table = [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.255.0.53", true),
            ("::1", "::1", true),
            ("::ffff:127.0.0.1", "127.0.0.1", true),
            ("10.0.0.5", "10.0.0.5", true),
            ("2001:db8::5", "2001:db8::5", true),
            ("127.0.0.1", "10.0.0.5", false),
            ("10.0.0.5", "127.0.0.1", false),
            ("10.0.0.5", "10.0.0.6", false),
            ("126.0.0.1", "128.0.0.1", false),
            ("::1", "::2", false),
            ("::1", "2001:db8::1", false),
            ("2001:db8::1", "2001:db9::1", false),
            ("64:ff9b::127.0.0.1", "64:ff9b::127.0.0.2", false),
        ];
        for (local, peer, expected) in table {
            let endpoints =
                Endpoints { local_address: words(local), peer_address: words(peer), local_port: 1, peer_port: 2 };
            assert_eq!(endpoints.are_local(), expected, "{local} {peer}");
        }
    }

    #[test]
    fn moments_are_kept_early() {
        for ns in [0, 1, UNIT_NS - 1, UNIT_NS, 86_400_000_000_000, 36 * 365 * 86_400_000_000_000] {
            let kept = moment_ns(units(ns));
            assert!(kept <= ns && ns - kept < UNIT_NS, "{ns}");
        }
    }

    #[test]
    fn what_a_listener_had_comes_back() {
        let before = Keepalive { idle_s: 7200, interval_s: 75, probes: 9, user_timeout_ms: 20_000 };
        for was_enabled in [false, true] {
            assert_eq!(Endpoints::of_listener(was_enabled, &before).before_adoption(), (was_enabled, before));
        }
    }
}
