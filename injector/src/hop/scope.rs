//! Where a hop lies: which flows pass it.

use std::fmt::{self, Display, Formatter};
#[cfg(test)]
use std::net::SocketAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Which flows pass a hop.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Which ends they have.
    pub ends: Ends,
    /// Which side opened them; `None` for both.
    pub direction: Option<Direction>,
}

/// Ends of flows. Prefixes are canonical, as [`super::parse_prefix`] makes them.
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
    /// Our end has one of these addresses, as those of an interface do.
    Local {
        /// Prefixes of our address; at least one.
        prefixes: Vec<IpNet>,
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
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub peer: SocketAddr,
    /// Which side opened it.
    pub direction: Direction,
}

impl Scope {
    /// On the path of every flow.
    pub const ANYWHERE: Self = Self { ends: Ends::Any, direction: None };

    /// Flows to these addresses.
    pub const fn remote(prefixes: Vec<IpNet>, port: Option<u16>) -> Self {
        Self { ends: Ends::Remote { prefixes, port }, direction: None }
    }

    /// Flows from these addresses of ours.
    pub const fn local(prefixes: Vec<IpNet>) -> Self {
        Self { ends: Ends::Local { prefixes }, direction: None }
    }

    /// Whether `flow` passes here. This is the definition: what the kernel looks up is compiled from the same places, and
    /// tested against it.
    #[cfg(test)]
    pub fn contains(&self, flow: &Tuple) -> bool {
        let ends = match &self.ends {
            Ends::Any => true,
            Ends::Remote { prefixes, port } => {
                port.is_none_or(|port| port == flow.peer.port()) && any_contains(prefixes, flow.peer)
            }
            Ends::Local { prefixes } => any_contains(prefixes, flow.local),
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
        let at = |scope: Self| Self { direction: self.direction, ..scope };
        match &self.ends {
            Ends::Any => vec![self.clone()],
            Ends::Remote { prefixes, port } => {
                prefixes.iter().map(|prefix| at(Self::remote(vec![*prefix], *port))).collect()
            }
            Ends::Local { prefixes } => prefixes.iter().map(|prefix| at(Self::local(vec![*prefix]))).collect(),
        }
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
                ports && any_overlap(ours, theirs)
            }
            (Self::Local { prefixes: ours }, Self::Local { prefixes: theirs }) => any_overlap(ours, theirs),
            _ => true,
        }
    }
}

#[cfg(test)]
fn any_contains(prefixes: &[IpNet], end: SocketAddr) -> bool {
    let address = end.ip().to_canonical();
    prefixes.iter().any(|prefix| prefix.contains(&address))
}

fn any_overlap(ours: &[IpNet], theirs: &[IpNet]) -> bool {
    let overlap = |one: &IpNet, other: &IpNet| one.contains(other) || other.contains(one);
    ours.iter().any(|one| theirs.iter().any(|other| overlap(one, other)))
}

fn list(prefixes: &[IpNet]) -> String {
    prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
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
impl Display for Scope {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match &self.ends {
            Ends::Any => formatter.write_str("anywhere")?,
            Ends::Remote { prefixes, port } => {
                write!(formatter, "peer {}", list(prefixes))?;
                port.map_or(Ok(()), |port| write!(formatter, " port {port}"))?;
            }
            Ends::Local { prefixes } => write!(formatter, "local {}", list(prefixes))?,
        }
        self.direction.map_or(Ok(()), |direction| write!(formatter, ", {}", direction.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hop::parse_prefix;

    fn flow(local: &str, peer: &str, direction: Direction) -> Tuple {
        Tuple { local: local.parse().expect(local), peer: peer.parse().expect(peer), direction }
    }

    fn to(prefix: &str, port: Option<u16>) -> Scope {
        Scope::remote(vec![parse_prefix(prefix).expect(prefix)], port)
    }

    #[test]
    fn flows_and_scopes() {
        use Direction::{Active, Passive};
        let v4 = flow("10.0.1.5:40000", "10.0.9.7:5432", Active);
        let mapped = flow("[::ffff:10.0.1.5]:40000", "[::ffff:10.0.9.7]:5432", Passive);
        let v6 = flow("[2001:db8::5]:40000", "[2001:db8::7]:443", Active);
        let passive = Scope { direction: Some(Passive), ..Scope::ANYWHERE };
        let local = Scope::local(vec!["10.9.0.0/16".parse().expect("valid"), "10.0.1.0/24".parse().expect("valid")]);
        let table = [
            (Scope::ANYWHERE, [true, true, true]),
            (passive, [false, true, false]),
            (to("10.0.9.0/24", None), [true, true, false]),
            (to("10.0.9.0/24", Some(5432)), [true, true, false]),
            (to("10.0.9.0/24", Some(443)), [false, false, false]),
            (to("0.0.0.0/0", None), [true, true, false]),
            (to("::/0", None), [false, false, true]),
            (to("2001:db8::/32", Some(443)), [false, false, true]),
            (local, [true, true, false]),
        ];
        for (scope, expected) in table {
            assert_eq!([v4, mapped, v6].map(|flow| scope.contains(&flow)), expected, "{scope}");
        }
    }

    #[test]
    fn scopes_that_share_flows() {
        let active = |scope: Scope| Scope { direction: Some(Direction::Active), ..scope };
        let passive = |scope: Scope| Scope { direction: Some(Direction::Passive), ..scope };
        let local = |prefix: &str| Scope::local(vec![prefix.parse().expect(prefix)]);
        let table = [
            (Scope::ANYWHERE, to("10.0.0.0/8", None), true),
            (to("10.0.0.0/8", None), to("10.1.0.0/16", Some(443)), true),
            (to("10.0.0.0/8", Some(80)), to("10.1.0.0/16", Some(443)), false),
            (to("10.0.0.0/8", None), to("11.0.0.0/8", None), false),
            (to("10.0.0.0/8", None), to("::/0", None), false),
            (to("10.0.0.0/8", None), local("10.0.0.0/8"), true),
            (local("10.0.0.0/24"), local("10.0.1.0/24"), false),
            (active(Scope::ANYWHERE), passive(Scope::ANYWHERE), false),
            (active(Scope::ANYWHERE), Scope::ANYWHERE, true),
        ];
        for (one, other, expected) in table {
            assert_eq!(one.may_share_a_flow(&other), expected, "{one} and {other}");
            assert_eq!(other.may_share_a_flow(&one), expected, "{other} and {one}");
        }
    }
}
