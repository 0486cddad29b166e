//! Layouts of `sock_diag` messages.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::TcpSocket;

/// `SOCK_DIAG_BY_FAMILY` in `include/uapi/linux/sock_diag.h`.
pub(super) const BY_FAMILY: u16 = 20;
/// Kinds of message in include/uapi/linux/netlink.h.
pub(super) const ERROR: u16 = 2;
pub(super) const DONE: u16 = 3;
/// `NLM_F_REQUEST | NLM_F_DUMP` there.
pub(super) const DUMP: u16 = 0x301;

/// `INET_DIAG_REQ_PROTOCOL` in `include/uapi/linux/inet_diag.h`: a protocol whose
/// number does not fit into the request (5.9).
pub(super) const REQUEST_PROTOCOL: u16 = 3;
/// `INET_DIAG_CGROUP_ID` there (5.11).
const CGROUP_ID: u16 = 21;

/// `struct nlmsghdr`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Header {
    pub(super) length: u32,
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) port: u32,
}

/// `struct nlattr`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct AttributeHeader {
    pub(super) length: u16,
    pub(super) kind: u16,
}

/// `struct inet_diag_sockid`, with ports and addresses in network byte order.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct SocketId {
    source_port: [u8; 2],
    destination_port: [u8; 2],
    source: [u8; 16],
    destination: [u8; 16],
    interface: u32,
    cookie: [u32; 2],
}

/// `struct inet_diag_req_v2`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct DiagRequest {
    pub(super) family: u8,
    pub(super) protocol: u8,
    pub(super) extensions: u8,
    pub(super) padding: u8,
    /// Bits by TCP state.
    pub(super) states: u32,
    pub(super) id: SocketId,
}

/// `struct inet_diag_msg`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Message {
    family: u8,
    state: u8,
    timer: u8,
    retransmits: u8,
    id: SocketId,
    expires: u32,
    receive_queue: u32,
    send_queue: u32,
    uid: u32,
    inode: u32,
}

/// Reads the socket of a message without its netlink header; `None` where it is
/// cut short or of another family.
pub(super) fn socket(message: &[u8]) -> Option<TcpSocket> {
    let (message, attributes) = Message::read_from_prefix(message).ok()?;
    let address = |octets: [u8; 16], port| {
        let ip = match i32::from(message.family) {
            libc::AF_INET => Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]).into(),
            libc::AF_INET6 => Ipv6Addr::from(octets).into(),
            _ => return None,
        };
        Some(SocketAddr::new(ip, u16::from_be_bytes(port)))
    };
    Some(TcpSocket {
        inode: message.inode.into(),
        state: message.state,
        local: address(message.id.source, message.id.source_port)?,
        peer: address(message.id.destination, message.id.destination_port)?,
        cgroup_id: cgroup_id(attributes),
    })
}

fn cgroup_id(mut attributes: &[u8]) -> Option<u64> {
    loop {
        let (header, _) = AttributeHeader::read_from_prefix(attributes).ok()?;
        let value = attributes.get(size_of::<AttributeHeader>()..header.length.into())?;
        if header.kind == CGROUP_ID {
            return u64::read_from_bytes(value).ok();
        }
        attributes = attributes.get(aligned(header.length.into())..)?;
    }
}

/// Messages and attributes begin at multiples of four bytes.
pub(super) const fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Attributes<'a> = &'a [(u16, &'a [u8])];

    fn message(family: i32, attributes: Attributes<'_>) -> Vec<u8> {
        let mut id = SocketId { source_port: [0, 80], destination_port: [0x0f, 0xa0], ..SocketId::default() };
        id.source[..4].copy_from_slice(&[10, 0, 0, 1]);
        id.destination[..4].copy_from_slice(&[10, 0, 0, 2]);
        let family = u8::try_from(family).expect("fits");
        let (timer, retransmits, expires, receive_queue, send_queue, uid) = (0, 0, 0, 0, 0, 0);
        let message =
            Message { family, state: 1, timer, retransmits, id, expires, receive_queue, send_queue, uid, inode: 77 };
        let mut bytes = message.as_bytes().to_vec();
        for (kind, value) in attributes {
            let length = u16::try_from(size_of::<AttributeHeader>() + value.len()).expect("short");
            bytes.extend(AttributeHeader { length, kind: *kind }.as_bytes());
            bytes.extend(*value);
            bytes.resize(aligned(bytes.len()), 0);
        }
        bytes
    }

    #[test]
    fn sockets_are_read_with_their_cgroup() {
        let id = 4711_u64.to_ne_bytes();
        let table: [(Attributes<'_>, _); 4] = [
            (&[], None),
            (&[(8, &[0])], None),
            (&[(8, &[0]), (15, &[]), (CGROUP_ID, &id)], Some(4711)),
            (&[(CGROUP_ID, &id[..4])], None),
        ];
        for (attributes, cgroup_id) in table {
            let expected = TcpSocket {
                inode: 77,
                state: 1,
                local: "10.0.0.1:80".parse().expect("an address"),
                peer: "10.0.0.2:4000".parse().expect("an address"),
                cgroup_id,
            };
            assert_eq!(socket(&message(libc::AF_INET, attributes)), Some(expected), "{attributes:?}");
        }
    }

    #[test]
    fn what_is_cut_short_or_strange_does_no_harm() {
        let whole = message(libc::AF_INET6, &[(CGROUP_ID, &1_u64.to_ne_bytes())]);
        for length in 0..whole.len() {
            let socket = socket(&whole[..length]);
            assert!(socket.is_none_or(|socket| socket.cgroup_id.is_none()), "{length}");
        }
        assert_eq!(socket(&message(libc::AF_UNIX, &[])), None);
        // An attribute that says it is shorter than its header.
        let mut strange = message(libc::AF_INET, &[]);
        strange.extend(AttributeHeader { length: 0, kind: 8 }.as_bytes());
        assert_eq!(socket(&strange).and_then(|socket| socket.cgroup_id), None);
    }
}
