//! Prefixes of addresses, IPv4 and IPv6.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// Parses `10.0.0.0/8`, `10.0.0.1`, `2001:db8::/32`, `[2001:db8::]/32` or
/// `[2001:db8::1]`. An address without a length stands for itself; IPv4-mapped
/// prefixes become IPv4.
///
/// Errors with a sentence.
pub fn parse_prefix(text: &str) -> Result<IpNet, String> {
    let no_prefix = || format!("invalid address or prefix {text:?}: expected 10.0.0.0/8, 10.0.0.1 or [2001:db8::]/32");
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let bracketed = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address: IpAddr = match bracketed {
        Some(inside) => IpAddr::V6(inside.parse().map_err(|_| no_prefix())?),
        None => address.parse().map_err(|_| no_prefix())?,
    };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => longest,
        Some(digits) => digits
            .parse()
            .ok()
            .filter(|&length| length <= longest && is_plain(digits))
            .ok_or_else(|| format!("invalid prefix length {digits:?} of {address}: expected /0 to /{longest}"))?,
    };
    let prefix = IpNet::new_assert(address, length);
    if prefix.trunc() != prefix {
        return Err(format!("{text} has bits beyond its length: write {}", prefix.trunc()));
    }
    Ok(canonical(prefix))
}

/// Digits only: what `u8::from_str` takes has a `+` too.
fn is_plain(digits: &str) -> bool {
    digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The kernel has IPv4 peers of IPv6 sockets as mapped addresses, and so may
/// the author of the prefix: here they are IPv4.
fn canonical(prefix: IpNet) -> IpNet {
    let IpNet::V6(v6) = prefix else { return prefix };
    match (v6.network().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
        (Some(address), Some(length)) => IpNet::V4(Ipv4Net::new_assert(address, length)),
        _ => prefix,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prefixes() {
        let table = [
            ("10.0.0.0/8", Ok("10.0.0.0/8")),
            ("10.0.0.1", Ok("10.0.0.1/32")),
            ("0.0.0.0/0", Ok("0.0.0.0/0")),
            ("[2001:db8::]/32", Ok("2001:db8::/32")),
            ("2001:db8::1", Ok("2001:db8::1/128")),
            ("::/0", Ok("::/0")),
            ("[::ffff:10.0.0.0]/104", Ok("10.0.0.0/8")),
            ("::ffff:10.0.0.1", Ok("10.0.0.1/32")),
            ("::ffff:0:0/96", Ok("0.0.0.0/0")),
            ("::/80", Ok("::/80")),
            ("10.0.9.5/24", Err("write 10.0.9.0/24")),
            ("10.0.0.0/33", Err("expected /0 to /32")),
            ("10.0.0.0/+8", Err("expected /0 to /32")),
            ("10.0.0.0/", Err("expected /0 to /32")),
            ("2001:db8::/129", Err("expected /0 to /128")),
            ("[10.0.0.1]", Err("invalid address")),
            ("10.0.0", Err("invalid address")),
            ("db.example", Err("invalid address")),
            ("", Err("invalid address")),
        ];
        for (text, expected) in table {
            match (parse_prefix(text), expected) {
                (Ok(prefix), Ok(expected)) => assert_eq!(prefix.to_string(), expected, "{text}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[0-9a-f:.\\[\\]/+ ]{0,40}") {
            drop(parse_prefix(&text));
        }

        #[test]
        fn what_is_shown_is_read(address: IpAddr, length in 0_u8..=128) {
            let longest = if address.is_ipv4() { 32 } else { 128 };
            let prefix = canonical(IpNet::new_assert(address, length.min(longest)).trunc());
            prop_assert_eq!(parse_prefix(&prefix.to_string()), Ok(prefix));
        }
    }
}
