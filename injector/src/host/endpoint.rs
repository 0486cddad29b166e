//! Addresses as the kernel side keeps them: IPv6 words in network byte order, IPv4 mapped.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Words and port of an address.
pub(crate) fn words(address: SocketAddr) -> ([u32; 4], u16) {
    let octets = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    let word = |at: usize| u32::from_ne_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]);
    ([word(0), word(4), word(8), word(12)], address.port())
}

/// The address of words; mapped IPv4 is shown as IPv4.
pub(crate) fn address(words: [u32; 4], port: u16) -> SocketAddr {
    let mut octets = [0; 16];
    for (chunk, word) in octets.chunks_exact_mut(4).zip(words) {
        chunk.copy_from_slice(&word.to_ne_bytes());
    }
    SocketAddr::new(Ipv6Addr::from(octets).to_canonical(), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let mapped = [0, 0, 0xffff_u32.to_be(), u32::from_ne_bytes([10, 0, 9, 7])];
        let table = [
            ("10.0.9.7:5432", mapped, "10.0.9.7:5432"),
            ("[::ffff:10.0.9.7]:1", mapped, "10.0.9.7:1"),
            ("[::1]:80", [0, 0, 0, 1_u32.to_be()], "[::1]:80"),
        ];
        for (text, expected, shown) in table {
            let (words, port) = words(text.parse().expect(text));
            assert_eq!((words, address(words, port).to_string()), (expected, shown.to_owned()));
        }
    }
}
