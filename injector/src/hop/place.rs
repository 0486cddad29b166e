//! Where a hop lies: which flows pass it.

use std::{
    fmt::{self, Display, Formatter},
    net::{IpAddr, SocketAddr},
};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

/// Which flows pass a hop.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Which ends they have.
    pub ends: Ends,
    /// Which side opened them; `None` for both.
    pub direction: Option<Direction>,
}

/// Ends of flows. Prefixes are canonical, as [`parse_prefix`] makes them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ends {
    /// Any.
    Any,
    /// The peer has one of these addresses.
    Remote {
        /// Prefixes of the peer's address; at least one.
        prefixes: Vec<IpNet>,
        /// Its port; `None` for any.
        port: Option<u16>,
    },
    /// Our end has this address, as those of an interface do.
    Local {
        /// Prefix of our address.
        prefix: IpNet,
    },
}

/// Which side opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// We connected.
    Active,
    /// We accepted.
    Passive,
}

/// What decides which hops a flow passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub peer: SocketAddr,
    /// Which side opened it.
    pub direction: Direction,
}

impl Place {
    /// On the way of every flow.
    pub const ANYWHERE: Self = Self { ends: Ends::Any, direction: None };

    /// Flows to these addresses.
    pub const fn remote(prefixes: Vec<IpNet>, port: Option<u16>) -> Self {
        Self { ends: Ends::Remote { prefixes, port }, direction: None }
    }

    /// Whether `flow` passes here.
    pub fn contains(&self, flow: &Flow) -> bool {
        let ends = match &self.ends {
            Ends::Any => true,
            Ends::Remote { prefixes, port } => {
                port.is_none_or(|port| port == flow.peer.port())
                    && prefixes.iter().any(|prefix| prefix.contains(&flow.peer.ip().to_canonical()))
            }
            Ends::Local { prefix } => prefix.contains(&flow.local.ip().to_canonical()),
        };
        ends && self.direction.is_none_or(|direction| direction == flow.direction)
    }

    /// Whether there can be a flow that passes both.
    pub fn may_share_a_flow(&self, other: &Self) -> bool {
        let direction = match (self.direction, other.direction) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        direction && self.ends.may_meet(&other.ends)
    }

    /// The same place as several with one prefix each.
    pub fn parts(&self) -> Vec<Self> {
        let Ends::Remote { prefixes, port } = &self.ends else { return vec![self.clone()] };
        let part = |prefix: &IpNet| Self { direction: self.direction, ..Self::remote(vec![*prefix], *port) };
        prefixes.iter().map(part).collect()
    }
}

impl Ends {
    fn may_meet(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Remote { prefixes: ours, port }, Self::Remote { prefixes: theirs, port: their_port }) => {
                let ports = match (port, their_port) {
                    (Some(one), Some(other)) => one == other,
                    _ => true,
                };
                ports && ours.iter().any(|one| theirs.iter().any(|other| overlap(one, other)))
            }
            (Self::Local { prefix }, Self::Local { prefix: other }) => overlap(prefix, other),
            _ => true,
        }
    }
}

fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

/// Parses `10.0.0.0/8`, `10.0.0.1`, `2001:db8::/32`, `[2001:db8::]/32` or
/// `[2001:db8::1]`. An address without a length stands for itself; IPv4-mapped
/// prefixes become IPv4.
///
/// Errors with a sentence.
pub fn parse_prefix(text: &str) -> Result<IpNet, String> {
    let no_prefix = || format!("{text:?} is no address or prefix: write 10.0.0.0/8, 10.0.0.1 or [2001:db8::]/32");
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
            .ok_or_else(|| format!("{digits:?} is no prefix length of {address}: write /0 to /{longest}"))?,
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
/// whoever wrote the prefix: here they are IPv4.
fn canonical(prefix: IpNet) -> IpNet {
    let IpNet::V6(v6) = prefix else { return prefix };
    match (v6.network().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
        (Some(address), Some(length)) => IpNet::V4(Ipv4Net::new_assert(address, length)),
        _ => prefix,
    }
}

impl Direction {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }
}

/// `anywhere`, `to 10.0.9.0/24 port 5432`, `from local 10.0.1.0/24, passive`.
impl Display for Place {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match &self.ends {
            Ends::Any => formatter.write_str("anywhere")?,
            Ends::Remote { prefixes, port } => {
                let list: Vec<_> = prefixes.iter().map(ToString::to_string).collect();
                write!(formatter, "peer {}", list.join(" or "))?;
                port.map_or(Ok(()), |port| write!(formatter, " port {port}"))?;
            }
            Ends::Local { prefix } => write!(formatter, "local {prefix}")?,
        }
        self.direction.map_or(Ok(()), |direction| write!(formatter, ", {}", direction.name()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flow(local: &str, peer: &str, direction: Direction) -> Flow {
        Flow { local: local.parse().expect(local), peer: peer.parse().expect(peer), direction }
    }

    fn to(prefix: &str, port: Option<u16>) -> Place {
        Place::remote(vec![parse_prefix(prefix).expect(prefix)], port)
    }

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
            ("10.0.0.0/33", Err("write /0 to /32")),
            ("10.0.0.0/+8", Err("write /0 to /32")),
            ("10.0.0.0/", Err("write /0 to /32")),
            ("2001:db8::/129", Err("write /0 to /128")),
            ("[10.0.0.1]", Err("is no address")),
            ("10.0.0", Err("is no address")),
            ("db.example", Err("is no address")),
            ("", Err("is no address")),
        ];
        for (text, expected) in table {
            match (parse_prefix(text), expected) {
                (Ok(prefix), Ok(expected)) => assert_eq!(prefix.to_string(), expected, "{text}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn flows_and_places() {
        use Direction::{Active, Passive};
        let v4 = flow("10.0.1.5:40000", "10.0.9.7:5432", Active);
        let mapped = flow("[::ffff:10.0.1.5]:40000", "[::ffff:10.0.9.7]:5432", Passive);
        let v6 = flow("[2001:db8::5]:40000", "[2001:db8::7]:443", Active);
        let passive = Place { direction: Some(Passive), ..Place::ANYWHERE };
        let local = Place { ends: Ends::Local { prefix: "10.0.1.0/24".parse().expect("valid") }, direction: None };
        let table = [
            (Place::ANYWHERE, [true, true, true]),
            (passive, [false, true, false]),
            (to("10.0.9.0/24", None), [true, true, false]),
            (to("10.0.9.0/24", Some(5432)), [true, true, false]),
            (to("10.0.9.0/24", Some(443)), [false, false, false]),
            (to("0.0.0.0/0", None), [true, true, false]),
            (to("::/0", None), [false, false, true]),
            (to("2001:db8::/32", Some(443)), [false, false, true]),
            (local, [true, true, false]),
        ];
        for (place, expected) in table {
            assert_eq!([v4, mapped, v6].map(|flow| place.contains(&flow)), expected, "{place}");
        }
    }

    #[test]
    fn places_that_share_flows() {
        let active = |place: Place| Place { direction: Some(Direction::Active), ..place };
        let passive = |place: Place| Place { direction: Some(Direction::Passive), ..place };
        let local =
            |prefix: &str| Place { ends: Ends::Local { prefix: prefix.parse().expect(prefix) }, direction: None };
        let table = [
            (Place::ANYWHERE, to("10.0.0.0/8", None), true),
            (to("10.0.0.0/8", None), to("10.1.0.0/16", Some(443)), true),
            (to("10.0.0.0/8", Some(80)), to("10.1.0.0/16", Some(443)), false),
            (to("10.0.0.0/8", None), to("11.0.0.0/8", None), false),
            (to("10.0.0.0/8", None), to("::/0", None), false),
            (to("10.0.0.0/8", None), local("10.0.0.0/8"), true),
            (local("10.0.0.0/24"), local("10.0.1.0/24"), false),
            (active(Place::ANYWHERE), passive(Place::ANYWHERE), false),
            (active(Place::ANYWHERE), Place::ANYWHERE, true),
        ];
        for (one, other, expected) in table {
            assert_eq!(one.may_share_a_flow(&other), expected, "{one} and {other}");
            assert_eq!(other.may_share_a_flow(&one), expected, "{other} and {one}");
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
