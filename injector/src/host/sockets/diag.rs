//! Asks the kernel for sockets over netlink (`sock_diag`).

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with};
use zerocopy::{FromBytes as _, IntoBytes as _};

use super::{
    STATES, TcpSocket,
    wire::{self, AttributeHeader, BY_FAMILY, DONE, DUMP, DiagRequest, ERROR, Header, REQUEST_PROTOCOL, aligned},
};

/// `IPPROTO_TCP`.
pub(super) const TCP: u32 = 6;
/// `IPPROTO_MPTCP`.
pub(super) const MULTIPATH: u32 = 262;

/// What the kernel puts into one answer at most, on any kernel.
const ANSWER: usize = 64 * 1024;

/// All sockets of a protocol, of IPv4 and IPv6.
///
/// Errors where the kernel does not know the protocol or has no `sock_diag`.
pub(super) fn list(protocol: u32) -> io::Result<Vec<TcpSocket>> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::SOCK_DIAG))?;
    let mut sockets = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small constants")]
        send(socket.as_fd(), &request(family as u8, protocol), SendFlags::empty())?;
        receive(&socket, &mut sockets)?;
    }
    Ok(sockets)
}

fn request(family: u8, protocol: u32) -> Vec<u8> {
    let states = STATES.iter().fold(0, |bits, state| bits | 1 << state);
    let short = u8::try_from(protocol);
    let request = DiagRequest { family, protocol: short.unwrap_or(u8::MAX), states, ..DiagRequest::default() };
    let mut message = [&[0; size_of::<Header>()][..], request.as_bytes()].concat();
    if short.is_err() {
        let value = protocol.to_ne_bytes();
        message.extend(AttributeHeader { length: 8, kind: REQUEST_PROTOCOL }.as_bytes());
        message.extend(value);
    }
    #[expect(clippy::cast_possible_truncation, reason = "some 80 bytes")]
    let header = Header { length: message.len() as u32, kind: BY_FAMILY, flags: DUMP, sequence: 0, port: 0 };
    message[..size_of::<Header>()].copy_from_slice(header.as_bytes());
    message
}

fn receive(socket: &OwnedFd, sockets: &mut Vec<TcpSocket>) -> io::Result<()> {
    let mut buffer = vec![0; ANSWER];
    loop {
        let (length, _) = recv(socket, &mut buffer[..], RecvFlags::empty())?;
        if read(&buffer[..length], sockets)? {
            return Ok(());
        }
    }
}

/// Takes the sockets of one answer. True where it was the last one.
fn read(mut answer: &[u8], sockets: &mut Vec<TcpSocket>) -> io::Result<bool> {
    while let Ok((header, _)) = Header::read_from_prefix(answer) {
        let length = header.length as usize;
        let Some(body) = answer.get(size_of::<Header>()..length) else { break };
        match header.kind {
            DONE => return Ok(true),
            ERROR => {
                let errno = i32::read_from_prefix(body).map_or(0, |(errno, _)| errno.saturating_neg());
                return Err(io::Error::from_raw_os_error(errno));
            }
            _ => sockets.extend(wire::socket(body)),
        }
        answer = answer.get(aligned(length)..).unwrap_or_default();
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(size_of::<Header>() + body.len()).expect("short");
        [Header { length, kind, flags: 0, sequence: 0, port: 0 }.as_bytes(), body].concat()
    }

    #[test]
    fn answers() {
        let mut sockets = Vec::new();
        assert!(!read(&message(BY_FAMILY, &[1, 2, 3]), &mut sockets).expect("no error"));
        assert!(read(&message(DONE, &[0; 4]), &mut sockets).expect("no error"));
        let error = read(&message(ERROR, &(-2_i32).to_ne_bytes()), &mut sockets).expect_err("an error");
        assert_eq!((error.raw_os_error(), sockets.len()), (Some(2), 0));
        // A message that says it is longer than what came.
        let mut long = message(BY_FAMILY, &[]);
        long[0] = 200;
        assert!(!read(&long, &mut sockets).expect("no error"));
    }

    #[test]
    fn a_protocol_that_does_not_fit_is_an_attribute() {
        assert_eq!(request(2, TCP).len() + 8, request(2, MULTIPATH).len());
        assert_eq!(request(2, MULTIPATH)[17], u8::MAX);
    }
}
