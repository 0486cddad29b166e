//! The `ingress` and `egress` programs: what passes on the flows, only with
//! `--track packets`. They let every packet go.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{BPF_SK_STORAGE_GET_F_CREATE, bpf_sock},
    helpers::generated::bpf_sk_storage_get,
    programs::SkBuffContext,
};
use injector_common::packets::{Next, PacketRecord, Segment, UNKNOWN, next_header};
use network_types::{
    ip::{Ipv4Hdr, Ipv6Hdr},
    tcp::TcpHdr,
};

use crate::{
    clock,
    maps::{PACKETS, tracks_packets},
    sk_storage,
    tcp_sock::TcpSock,
};

const IPPROTO_TCP: u8 = 6;
const V4_HEADER: u32 = 20;
const _: () = assert!(size_of::<Ipv4Hdr>() == V4_HEADER as usize);
const V6_HEADER: u32 = 40;
const _: () = assert!(size_of::<Ipv6Hdr>() == V6_HEADER as usize);
/// No legitimate packet has more extension headers than this.
const MAX_EXTENSIONS: usize = 6;

/// How a packet begins: read at once, since each read is a call. None with a
/// TCP header is shorter, and both readings are as long.
#[repr(C)]
#[derive(Clone, Copy)]
union Head {
    v4: V4Head,
    v6: Ipv6Hdr,
}

const _: () = assert!(size_of::<V4Head>() == V6_HEADER as usize);

/// Both headers of an IPv4 packet without options.
#[repr(C)]
#[derive(Clone, Copy)]
struct V4Head {
    ip: Ipv4Hdr,
    tcp: TcpHdr,
}

/// Which way a packet goes.
#[derive(Clone, Copy, PartialEq)]
pub enum Way {
    In,
    Out,
}

/// Counts and stamps a packet of a flow.
#[inline(always)]
pub fn stamp(ctx: &SkBuffContext, way: Way) {
    let Some(socket) = socket(ctx) else { return };
    let Some(record) = record(socket) else { return };
    let segment = segment(ctx);
    let class = segment.map_or(UNKNOWN, |segment| due(socket, way).map_or(UNKNOWN, |due| segment.class(due)));
    let has_payload = segment.is_some_and(|segment| segment.has_payload(class));
    let ticks = clock::ticks();
    let PacketRecord { received, sent } = record;
    let (same, other) = if way == Way::In { (received, sent) } else { (sent, received) };
    same.note(ticks, class, has_payload);
    other.answered();
}

/// The socket that the packet belongs to. Whatever it is, only a full TCP socket
/// has a flow record, and without one it is left alone.
#[inline(always)]
fn socket(ctx: &SkBuffContext) -> Option<*mut bpf_sock> {
    // SAFETY: a context member, which the verifier knows as a socket or null.
    let socket = unsafe { (*ctx.skb.skb).__bindgen_anon_2.sk };
    if socket.is_null() { None } else { Some(socket) }
}

/// The record of a flow, made with its first packet.
#[inline(always)]
fn record(socket: *mut bpf_sock) -> Option<&'static mut PacketRecord> {
    let found = get(socket, core::ptr::null_mut(), 0);
    if found.is_some() {
        return found;
    }
    sk_storage::find(socket)?;
    let mut empty = PacketRecord::default();
    get(socket, &raw mut empty, u64::from(BPF_SK_STORAGE_GET_F_CREATE))
}

/// The record of a socket that a scan visits, where its packets are tracked.
/// Since 5.11.
#[inline(always)]
pub fn find(socket: *mut c_void) -> Option<&'static PacketRecord> {
    if tracks_packets() { get(socket.cast(), core::ptr::null_mut(), 0).map(|record| &*record) } else { None }
}

#[inline(always)]
fn get(socket: *mut bpf_sock, value: *mut PacketRecord, flags: u64) -> Option<&'static mut PacketRecord> {
    // SAFETY: the helper gives null for what is no full socket. Since 5.10 it
    // takes any socket; a non-null result points to this one's record
    // for as long as the program runs, and the kernel copies a whole value.
    unsafe {
        bpf_sk_storage_get((&raw const PACKETS).cast_mut().cast(), socket.cast(), value.cast(), flags)
            .cast::<PacketRecord>()
            .as_mut()
    }
}

/// The oldest sequence number that the packet's receiver has not acknowledged.
#[inline(always)]
fn due(socket: *mut bpf_sock, way: Way) -> Option<u32> {
    let tcp = TcpSock::of(socket.cast())?;
    Some(if way == Way::In { tcp.next_to_receive() } else { tcp.oldest_unacknowledged() })
}

/// What can be read of the TCP header, wherever the packet's bytes lie.
#[inline(always)]
fn segment(ctx: &SkBuffContext) -> Option<Segment> {
    let head: Head = ctx.load(0).ok()?;
    // SAFETY: both are made of bytes, and any bytes are a header.
    let (v4, v6) = unsafe { (&head.v4, &head.v6) };
    match v4.ip.version() {
        4 => match after_v4(&v4.ip)? {
            V4_HEADER => segment_at(ctx, V4_HEADER, &v4.tcp),
            start => segment_at(ctx, start, &ctx.load(start as usize).ok()?),
        },
        6 => {
            let start = after_v6(ctx, v6)?;
            segment_at(ctx, start, &ctx.load(start as usize).ok()?)
        }
        _ => None,
    }
}

/// Reads the TCP header at `start`.
#[inline(always)]
fn segment_at(ctx: &SkBuffContext, start: u32, header: &TcpHdr) -> Option<Segment> {
    let payload = start + u32::from(header.doff()) * 4;
    if header.doff() < 5 || payload > ctx.len() {
        return None;
    }
    // The second byte of the field; the accessors give a bit each.
    #[expect(clippy::cast_possible_truncation, reason = "eight bits")]
    let flags = header._bitfield_1.get(8, 8) as u8;
    Some(Segment { flags, sequence: u32::from_be_bytes(header.seq), payload: ctx.len() - payload })
}

/// Where the TCP header starts.
#[inline(always)]
fn after_v4(header: &Ipv4Hdr) -> Option<u32> {
    // Three flags, then the offset; a later fragment has no TCP header.
    let is_first = u16::from_be_bytes(header.frags) << 3 == 0;
    let length = u32::from(header.ihl());
    if header.proto == IPPROTO_TCP && is_first && length >= V4_HEADER { Some(length) } else { None }
}

/// Where the TCP header starts.
#[inline(always)]
fn after_v6(ctx: &SkBuffContext, header: &Ipv6Hdr) -> Option<u32> {
    let (mut kind, mut start) = (header.next_hdr, V6_HEADER);
    for _ in 0..MAX_EXTENSIONS {
        if kind == IPPROTO_TCP {
            return Some(start);
        }
        let extension: [u8; 4] = ctx.load(start as usize).ok()?;
        let Next::After(length) = next_header(kind, extension) else { return None };
        kind = extension[0];
        start += length;
    }
    if kind == IPPROTO_TCP { Some(start) } else { None }
}
