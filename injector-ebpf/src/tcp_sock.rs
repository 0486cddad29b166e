//! The kernel's own view of a TCP socket, read member by member at offsets
//! that userspace found in BTF.
//!
//! The socket's own members are plain loads: the verifier knows what the pointer points to and checks each against the
//! kernel's BTF. Where the path continues through other structures, reads go through `bpf_probe_read_kernel`. Either
//! way a wrong offset yields a wrong value, never a fault.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_skc_to_tcp_sock;
use injector_common::{
    idle::Socket,
    keepalive::{Own, Sysctl},
    offsets,
    status::Sent,
};

use crate::{
    kernel::read,
    maps::{offset, ticks_per_second},
};

/// `SOCK_KEEPOPEN` of `enum sock_flags` in include/net/sock.h.
const SOCK_KEEPOPEN: u64 = 1 << 3;
/// Set on sockets that no process holds any more.
const SOCK_DEAD: u64 = 1 << 0;

/// A full TCP socket. All the structures nested in `struct tcp_sock` start
/// where it starts, so one base serves the members of `sock`,
/// `inet_connection_sock` and `tcp_sock`.
#[derive(Clone, Copy)]
pub struct TcpSock(*const u8);

impl TcpSock {
    /// Errors where `socket` is no full TCP socket.
    #[inline(always)]
    pub fn of(socket: *mut c_void) -> Option<Self> {
        // SAFETY: the helper checks what it is given and returns null for
        // anything else. Since 5.9.
        let tcp = unsafe { bpf_skc_to_tcp_sock(socket) };
        if tcp.is_null() { None } else { Some(Self(tcp.cast())) }
    }

    #[inline(always)]
    fn read<T: Copy>(self, member: usize) -> T {
        // SAFETY: the verifier admits the load only where `tcp_sock` has a member of this size, and the kernel survives
        // a socket that is freed meanwhile (`BPF_PROBE_MEM`). Volatile, or the compiler would merge loads of neighbours
        // into one that spans members.
        unsafe { self.0.wrapping_add(offset(member)).cast::<T>().read_volatile() }
    }

    /// Keepalive as set by the application.
    #[inline(always)]
    pub fn own_keepalive(self) -> Own {
        let ticks = ticks_per_second();
        Own {
            enabled: self.read::<u64>(offsets::FLAGS) & SOCK_KEEPOPEN != 0,
            idle_s: seconds(self.read(offsets::KEEPALIVE_IDLE), ticks),
            interval_s: seconds(self.read(offsets::KEEPALIVE_INTERVAL), ticks),
            probes: u32::from(self.read::<u8>(offsets::KEEPALIVE_PROBES)),
            user_timeout_ms: self.read(offsets::USER_TIMEOUT),
        }
    }

    /// The defaults of the socket's namespace.
    #[inline(always)]
    pub fn sysctl(self) -> Result<Sysctl, i32> {
        let net = self.read(offsets::NET);
        let ticks = ticks_per_second();
        Ok(Sysctl {
            idle_s: seconds(read(net, offsets::SYSCTL_IDLE)?, ticks),
            interval_s: seconds(read(net, offsets::SYSCTL_INTERVAL)?, ticks),
            // An int before 5.13, a byte since; at most 127, and we only serve
            // little-endian machines.
            probes: u32::from(read::<u8>(net, offsets::SYSCTL_PROBES)?),
        })
    }

    /// The same where some of `own` was left alone; otherwise none of it matters.
    #[inline(always)]
    pub fn sysctl_beside(self, own: &Own) -> Result<Sysctl, i32> {
        let is_complete = own.idle_s != 0 && own.interval_s != 0 && own.probes != 0;
        if is_complete { Ok(Sysctl::default()) } else { self.sysctl() }
    }

    /// Whether no process holds the socket any more.
    #[inline(always)]
    pub fn is_orphan(self) -> bool {
        self.read::<u64>(offsets::FLAGS) & SOCK_DEAD != 0
    }

    /// TCP state.
    #[inline(always)]
    pub fn state(self) -> u8 {
        self.read(offsets::STATE)
    }

    /// Retransmissions of the oldest unacknowledged segment.
    #[inline(always)]
    pub fn retransmits(self) -> u8 {
        self.read(offsets::RETRANSMITS)
    }

    /// Probes without an answer, as far as the kernel counts them.
    #[inline(always)]
    pub fn probes_out(self) -> u8 {
        self.read(offsets::UNANSWERED_PROBES)
    }

    /// How far what was written has come.
    #[inline(always)]
    pub fn sent(self) -> Sent {
        Sent {
            acknowledged: self.oldest_unacknowledged(),
            next: self.read(offsets::NEXT_TO_SEND),
            written: self.read(offsets::WRITTEN),
        }
    }

    /// The oldest sequence number that the peer has not acknowledged.
    #[inline(always)]
    pub fn oldest_unacknowledged(self) -> u32 {
        self.read(offsets::OLDEST_UNACKNOWLEDGED)
    }

    /// The sequence number that is due from the peer.
    #[inline(always)]
    pub fn next_to_receive(self) -> u32 {
        self.read(offsets::NEXT_TO_RECEIVE)
    }

    /// Timestamps and counters that show when the socket was last active.
    #[inline(always)]
    pub fn activity(self) -> Socket {
        Socket {
            data_received: self.read(offsets::DATA_RECEIVED),
            ack_received: self.read(offsets::ACK_RECEIVED),
            probe_received: self.read(offsets::PROBE_RECEIVED),
            acknowledged_us: self.read(offsets::ACKNOWLEDGED),
            segments_in: self.read(offsets::SEGMENTS_IN),
            packet_received: 0,
        }
    }

    /// Inode number of the network namespace.
    #[inline(always)]
    pub fn netns(self) -> Result<u32, i32> {
        read(self.read(offsets::NET), offsets::NET_INODE)
    }

    /// Owner.
    #[inline(always)]
    pub fn uid(self) -> u32 {
        self.read(offsets::UID)
    }

    /// Id of the cgroup the socket was created in.
    #[inline(always)]
    pub fn cgroup_id(self) -> Result<u64, i32> {
        // To the verifier a pointer when loaded, and those take no masks.
        let tagged: u64 = read(self.0, offsets::CGROUP)?;
        let node = read(untagged(tagged), offsets::CGROUP_NODE)?;
        read(node, offsets::NODE_ID)
    }

    /// Inode number of the socket; 0 where no process holds it any more.
    #[inline(always)]
    pub fn inode(self) -> Result<u64, i32> {
        let socket: *const u8 = self.read(offsets::SOCKET);
        if socket.is_null() {
            return Ok(0);
        }
        // `struct socket_alloc` is a socket followed by its inode.
        read(socket.wrapping_add(offset(offsets::SOCKET_INODE)), offsets::INODE_NUMBER)
    }
}

#[inline(always)]
const fn seconds(ticks: u32, ticks_per_second: u32) -> u32 {
    match ticks.checked_div(ticks_per_second) {
        Some(seconds) => seconds,
        None => 0,
    }
}

#[inline(always)]
fn untagged(pointer: u64) -> *const u8 {
    (pointer & !3) as *const u8
}
