//! A flow as its socket's storage keeps it, and as a scan writes it out.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{applied::Applied, decision::Selection, keepalive::Keepalive, packets::PacketRecord};

/// The flow was seen when its connection was established.
pub const ESTABLISHED: u8 = 0;
/// The flow was there before, and was taken over from its process.
pub const ADOPTED: u8 = 1;

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
    /// When the connection was established, in monotonic nanoseconds; for an
    /// adopted one the earliest moment at which it is known to have been there.
    pub opened_ns: u64,
    /// What the last scan saw.
    pub seen: Seen,
    /// Status last told to the watcher, if that was a finding; otherwise 0.
    pub reported: u8,
    /// [`crate::stats::ACTIVE`] or [`crate::stats::PASSIVE`].
    pub direction: u8,
    /// What became of the socket, from [`crate::stats`].
    pub outcome: u8,
    /// [`ESTABLISHED`] or [`ADOPTED`].
    pub origin: u8,
    /// Which limits apply, by the rules of [`Self::generation`].
    pub choice: Selection,
    /// The rules that [`Self::choice`] was made by.
    pub generation: u32,
    /// What was set.
    pub applied: Applied,
    /// Who talks to whom.
    pub endpoints: Endpoints,
}

const _: () = assert!(size_of::<FlowRecord>() == 112);

/// The counters as the last scan saw them, and what they told. Establishment
/// counts as a scan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Seen {
    /// When the last scan came by, in monotonic nanoseconds; 0 where there is
    /// nothing to compare with yet.
    pub scanned_ns: u64,
    /// Latest activity that only the segment counters gave away, in monotonic
    /// nanoseconds.
    pub active_ns: u64,
    /// `segs_in` at that scan.
    pub segments_in: u32,
    /// `segs_out` at that scan.
    pub segments_out: u32,
}

/// A flow as a scan writes it out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FlowSample {
    /// Kernel's socket cookie.
    pub cookie: u64,
    /// Time since the connection was established, in milliseconds.
    pub age_ms: u64,
    /// Silence on the wire, in milliseconds.
    pub idle_ms: u64,
    /// Silence of the applications, in milliseconds.
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
    /// Idle timeout of the hop, in milliseconds.
    pub limit_ms: u32,
    /// Index of that hop, or [`crate::decision::NO_HOP`].
    pub hop: u32,
    /// Timer on the way that keepalive can't hold off, in milliseconds; 0 for
    /// none.
    pub layer7_ms: u32,
    /// Index of the hop that has that timer, or [`crate::decision::NO_HOP`].
    pub layer7_hop: u32,
    /// Who talks to whom.
    pub endpoints: Endpoints,
    /// Parameters in force, sysctl defaults filled in.
    pub effective: Keepalive,
    /// Parameters set by us.
    pub applied: Keepalive,
    /// 1 where `SO_KEEPALIVE` is on.
    pub enabled: u8,
    /// Probes without an answer.
    pub unanswered_probes: u8,
    /// Retransmissions of the oldest unacknowledged segment.
    pub retransmits: u8,
    /// TCP state, as in `include/net/tcp_states.h`.
    pub state: u8,
    /// [`crate::stats::ACTIVE`] or [`crate::stats::PASSIVE`].
    pub direction: u8,
    /// What became of the socket, from [`crate::stats`].
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
