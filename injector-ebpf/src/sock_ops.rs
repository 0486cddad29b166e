//! What the `sock_ops` context offers beyond aya's wrapper.

use aya_ebpf::{
    EbpfContext as _,
    bindings::{bpf_sock, bpf_sock_ops},
    helpers::generated::bpf_get_socket_cookie,
    programs::SockOpsContext,
};
use injector_common::record::Endpoints;

const AF_INET: u32 = 2;
/// What the attachments of cgroups further down leave for those above: the
/// kernel runs their programs first, with one context for all, and makes
/// nothing of the reply at the events we own.
const COVERED: u32 = 0x696e_6a00;
/// The same where keepalive was set, not just found good.
const SET: u32 = COVERED + 1;

/// What other attachments did with the socket at this event.
pub struct Nested {
    /// Another one covers it.
    pub is_covered: bool,
    /// Its effective values were set by one.
    pub is_set: bool,
}

/// What was left by those before us.
#[inline(always)]
pub fn nested(ctx: &SockOpsContext) -> Nested {
    // SAFETY: a context member of every event.
    let reply = unsafe { (*ctx.ops).__bindgen_anon_1.reply };
    Nested { is_covered: reply == COVERED || reply == SET, is_set: reply == SET }
}

/// Leaves word for those after us.
#[inline(always)]
pub fn announce_nested(ctx: &SockOpsContext, is_set: bool) {
    // SAFETY: a context member that may be written.
    unsafe { (*ctx.ops).__bindgen_anon_1.reply = if is_set { SET } else { COVERED } };
}

/// The socket, which is a full one at the events we own.
#[inline(always)]
pub fn socket(ctx: &SockOpsContext) -> Option<*mut bpf_sock> {
    // SAFETY: the verifier knows the context and turns this into a load of a
    // socket pointer or null.
    let socket = unsafe { (*ctx.ops).__bindgen_anon_2.sk };
    if socket.is_null() { None } else { Some(socket) }
}

/// The kernel's cookie of this socket.
#[inline(always)]
pub fn cookie(ctx: &SockOpsContext) -> u64 {
    // SAFETY: takes the context as it is.
    unsafe { bpf_get_socket_cookie(ctx.as_ptr()) }
}

/// Segments received so far, for the first scan to start from.
#[inline(always)]
pub fn segments_in(ctx: &SockOpsContext) -> u32 {
    // SAFETY: a context member of a full socket.
    unsafe { (*ctx.ops).segs_in }
}

/// Both ends of the connection.
#[inline(always)]
pub fn endpoints(ctx: &SockOpsContext) -> Endpoints {
    let ops = ctx.ops;
    let (local_address, peer_address) = if ctx.family() == AF_INET {
        (mapped(ctx.local_ip4()), mapped(ctx.remote_ip4()))
    } else {
        (local_ip6(ops), peer_ip6(ops))
    };
    #[expect(clippy::cast_possible_truncation, reason = "ports have 16 bits")]
    Endpoints {
        local_address,
        peer_address,
        local_port: ctx.local_port() as u16,
        // The kernel keeps it in network byte order, moved to the upper half.
        peer_port: u32::from_be(ctx.remote_port()) as u16,
    }
}

#[inline(always)]
fn mapped(ip4: u32) -> [u32; 4] {
    [0, 0, 0xffff_u32.to_be(), ip4]
}

/// Word by word: the verifier refuses a copy of the context's array.
#[inline(always)]
fn local_ip6(ops: *mut bpf_sock_ops) -> [u32; 4] {
    // SAFETY: context members, each read as the one word it is.
    unsafe {
        let words = (&raw const (*ops).local_ip6).cast::<u32>();
        [
            words.read_volatile(),
            words.add(1).read_volatile(),
            words.add(2).read_volatile(),
            words.add(3).read_volatile(),
        ]
    }
}

#[inline(always)]
fn peer_ip6(ops: *mut bpf_sock_ops) -> [u32; 4] {
    // SAFETY: context members, each read as the one word it is.
    unsafe {
        let words = (&raw const (*ops).remote_ip6).cast::<u32>();
        [
            words.read_volatile(),
            words.add(1).read_volatile(),
            words.add(2).read_volatile(),
            words.add(3).read_volatile(),
        ]
    }
}
