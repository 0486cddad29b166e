//! Where the running kernel keeps the members we read.
//!
//! Rust has no CO-RE relocations. Userspace finds each offset in the kernel's
//! BTF and hands all of them over as one read-only global before loading; to
//! the verifier they are constants then.

/// The first of those that only serve speed. A kernel that has them elsewhere
/// is served without: 0 stands for them then.
pub const FIRST_HINT: usize = ELEMENT_NEXT;

/// A member, named as in the kernel's sources.
#[derive(Clone, Copy, Debug)]
pub struct KernelMember {
    /// The structure's tag.
    pub structure: &'static str,
    /// Path of member names, separated by dots; anonymous members are passed
    /// through.
    pub path: &'static str,
}

macro_rules! members {
    ($($(#[$doc:meta])* $name:ident = $structure:literal . $path:literal;)+) => {
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "only counts the members")]
        enum Index { $($name,)+ COUNT }

        $($(#[$doc])* pub const $name: usize = Index::$name as usize;)+
        /// How many members there are.
        pub const COUNT: usize = Index::COUNT as usize;
        /// The members, in the order of their indices.
        pub const MEMBERS: [KernelMember; COUNT] =
            [$(KernelMember { structure: $structure, path: $path },)+];
    };
}

members! {
    /// `u32`: jiffies of the last payload received.
    DATA_RECEIVED = "inet_connection_sock"."icsk_ack.lrcvtime";
    /// `u32`: jiffies of the last ACK received.
    ACK_RECEIVED = "tcp_sock"."rcv_tstamp";
    /// `u32`: jiffies of the last segment without payload outside the window,
    /// which is what the peer's keepalive probe looks like (`tcp_validate_incoming`).
    PROBE_RECEIVED = "tcp_sock"."last_oow_ack_time";
    /// `u32`: segments received.
    SEGMENTS_IN = "tcp_sock"."segs_in";
    /// `u64`: when that segment was sent which was acknowledged last, in
    /// microseconds of `CLOCK_MONOTONIC` (`tcp_rack_advance`; since 4.18 always).
    ACKNOWLEDGED = "tcp_sock"."rack.mstamp";
    /// `u32`: the oldest sequence number that the peer has not acknowledged.
    OLDEST_UNACKNOWLEDGED = "tcp_sock"."snd_una";
    /// `u32`: the sequence number that is sent next.
    NEXT_TO_SEND = "tcp_sock"."snd_nxt";
    /// `u32`: the sequence number behind all that the application has written.
    WRITTEN = "tcp_sock"."write_seq";
    /// `u32`: the sequence number that is due from the peer.
    NEXT_TO_RECEIVE = "tcp_sock"."rcv_nxt";
    /// `u32`: `TCP_KEEPIDLE` in jiffies; 0 when never set.
    KEEPALIVE_IDLE = "tcp_sock"."keepalive_time";
    /// `u32`: `TCP_KEEPINTVL` in jiffies; 0 when never set.
    KEEPALIVE_INTERVAL = "tcp_sock"."keepalive_intvl";
    /// `u8`: `TCP_KEEPCNT`; 0 when never set.
    KEEPALIVE_PROBES = "tcp_sock"."keepalive_probes";
    /// `u32`: `TCP_USER_TIMEOUT` in milliseconds.
    USER_TIMEOUT = "inet_connection_sock"."icsk_user_timeout";
    /// `u8`: probes of keepalive or of a closed window without an answer.
    UNANSWERED_PROBES = "inet_connection_sock"."icsk_probes_out";
    /// `u8`: retransmissions of the oldest unacknowledged segment.
    RETRANSMITS = "inet_connection_sock"."icsk_retransmits";
    /// `unsigned long`: `enum sock_flags` as bits.
    FLAGS = "sock"."__sk_common.skc_flags";
    /// `u8`: TCP state.
    STATE = "sock"."__sk_common.skc_state";
    /// `struct net *`.
    NET = "sock"."__sk_common.skc_net.net";
    /// `kuid_t`: owner.
    UID = "sock"."sk_uid";
    /// `struct socket *`.
    SOCKET = "sock"."sk_socket";
    /// `struct cgroup *`; before 5.15 with flags in its lowest two bits.
    CGROUP = "sock"."sk_cgrp_data";
    /// `int`: `net.ipv4.tcp_keepalive_time` in jiffies.
    SYSCTL_IDLE = "net"."ipv4.sysctl_tcp_keepalive_time";
    /// `int`: `net.ipv4.tcp_keepalive_intvl` in jiffies.
    SYSCTL_INTERVAL = "net"."ipv4.sysctl_tcp_keepalive_intvl";
    /// `int` or `u8`: `net.ipv4.tcp_keepalive_probes`.
    SYSCTL_PROBES = "net"."ipv4.sysctl_tcp_keepalive_probes";
    /// `u32`: inode number of the network namespace.
    NET_INODE = "net"."ns.inum";
    /// `struct kernfs_node *`.
    CGROUP_NODE = "cgroup"."kn";
    /// `u64`: the cgroup's id.
    NODE_ID = "kernfs_node"."id";
    /// `struct inode` behind a `struct socket` (`SOCK_INODE`).
    SOCKET_INODE = "socket_alloc"."vfs_inode";
    /// `unsigned long`: inode number.
    INODE_NUMBER = "inode"."i_ino";
    /// `struct hlist_node *`: the next entry in the list of a storage map.
    ELEMENT_NEXT = "bpf_local_storage_elem"."map_node.next";
    /// `struct bpf_local_storage *`: the head of what its socket stores.
    ELEMENT_STORAGE = "bpf_local_storage_elem"."local_storage";
    /// `struct bpf_local_storage_data` within an entry.
    ELEMENT_DATA = "bpf_local_storage_elem"."sdata";
    /// The value within that.
    STORAGE_DATA = "bpf_local_storage_data"."data";
    /// `void *`: the socket.
    STORAGE_OWNER = "bpf_local_storage"."owner";
}
