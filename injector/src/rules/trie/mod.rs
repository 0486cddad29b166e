//! From hops to what the kernel looks up when a connection is established.
//!
//! The kernel has one trie of longest prefixes. It looks up the peer's address
//! with the peer's port and with any port, and our address, each among the
//! flows of its direction. Each hit names a [`Decision`]; the shortest limit of
//! them counts, and by itself the shortest timer of the application layer.
//!
//! Policies have places too, and the first of those that a flow meets counts.
//! Which of them are there to be met depends on the flow's cgroup: each set of
//! them has its own part of the trie, with all hops in it.
//!
//! The trie returns the longest prefix only, so every entry carries the best
//! of all hops whose place contains it, within its own lookup. The other
//! lookups bring in theirs. What an entry would only repeat is left out.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    time::Duration,
};

use ipnet::IpNet;

use crate::{
    hop::{Direction, Ends, Hop, Place},
    rules::timing::{Timing, derive},
};

/// Bit of [`Key::scope`]: the address is ours; otherwise the peer's.
pub const LOCAL: u16 = 1;
/// Bit of [`Key::scope`]: for accepted flows; otherwise for those we opened.
pub const PASSIVE: u16 = 2;
/// Where the number of the set begins in [`Key::scope`].
pub const SET_SHIFT: u32 = 2;

/// Where a lookup finds its decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Which lookup: [`LOCAL`] and [`PASSIVE`], and the number of a set.
    pub scope: u16,
    /// Port of the peer; 0 for any, and for our own address.
    pub port: u16,
    /// How many bits of the address count, 0 to 128.
    pub prefix_len: u8,
    /// IPv6 address in network byte order; IPv4 is mapped.
    pub address: [u8; 16],
}

/// What counts for the flows of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Decision {
    /// The shortest limit that keepalive can hold off.
    pub limit: Option<Limit>,
    /// The shortest timer that it can't.
    pub layer7: Option<Timer>,
    /// The shortest limit of a connection that one side has ended.
    pub half_closed: Option<Timer>,
    /// Whether these limits are meant for flows within this host, too.
    pub loopback: bool,
    /// Index of the first policy.
    pub policy: Option<usize>,
}

/// A limit that keepalive can hold off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    /// Index of the hop.
    pub hop: usize,
    /// Its timeout in milliseconds.
    pub timeout_ms: u32,
    /// Keepalive that beats it.
    pub timing: Timing,
}

/// Another timeout of a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timer {
    /// Index of the hop.
    pub hop: usize,
    /// The timeout in milliseconds.
    pub timeout_ms: u32,
}

/// Lookups that can find anything at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// The peer's address with its port.
    pub remote_port: bool,
    /// The peer's address with any port.
    pub remote: bool,
    /// Our address.
    pub local: bool,
}

/// What the kernel gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    /// Decisions, each once.
    pub decisions: Vec<Decision>,
    /// Entries of the trie with indices of decisions, sorted by key.
    pub entries: Vec<(Key, u32)>,
    /// Which lookups are worth their time.
    pub uses: Uses,
}

/// One lookup: scope and port.
type Lookup = (u16, u16);
/// What the hops say: by lookup, then by prefix. Prefixes sort before all that
/// they contain.
type Tables = BTreeMap<Lookup, BTreeMap<Prefix, Decision>>;

/// Bits and length of a prefix in the 128 bits where IPv4 is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Prefix {
    bits: u128,
    len: u8,
}

/// Compiles hops, and policies by their places; at most 2^32 different
/// decisions. `sets` are those of the policies that may be met together, by
/// their number. With `loopback` flows within this host have the limits of all
/// others; otherwise only those of hops that name loopback addresses.
pub fn compile(hops: &[Hop], policies: &[&Place], sets: &[Vec<usize>], loopback: bool) -> Compiled {
    let mut compiled = Compiled::default();
    let mut indices = HashMap::new();
    for ((scope, port), mut table) in tables(hops, policies, sets) {
        compiled.uses.note(scope, port);
        table.entry(Prefix::V4).or_default();
        for (prefix, decision) in inherit(table, loopback) {
            let next = u32::try_from(indices.len()).unwrap_or(u32::MAX);
            let index = *indices.entry(decision).or_insert_with(|| {
                compiled.decisions.push(decision);
                next
            });
            let key = Key { scope, port, prefix_len: prefix.len, address: prefix.bits.to_be_bytes() };
            compiled.entries.push((key, index));
        }
    }
    compiled.entries.sort_unstable();
    compiled
}

fn tables(hops: &[Hop], policies: &[&Place], sets: &[Vec<usize>]) -> Tables {
    let mut tables = Tables::new();
    for (set, members) in (0_u16..).zip(sets) {
        let hops = hops.iter().enumerate().map(|(index, hop)| (&hop.place, Decision::of(index, hop)));
        let of = |&index: &usize| Some((*policies.get(index)?, Decision::of_policy(index)));
        for (place, decision) in hops.chain(members.iter().filter_map(of)) {
            put(&mut tables, set << SET_SHIFT, place, decision);
        }
    }
    tables
}

fn put(tables: &mut Tables, set: u16, place: &Place, decision: Decision) {
    let (side, port, prefixes) = match &place.ends {
        Ends::Any => (0, 0, vec![Prefix::ALL, Prefix::V4]),
        Ends::Remote { prefixes, port } => (0, port.unwrap_or(0), prefixes.iter().map(Prefix::of).collect()),
        Ends::Local { prefixes } => (LOCAL, 0, prefixes.iter().map(Prefix::of).collect()),
    };
    for scope in directions(place.direction).iter().map(|direction| set | side | direction) {
        let table = tables.entry((scope, port)).or_default();
        for prefix in &prefixes {
            let here = table.entry(*prefix).or_default();
            *here = here.or_better(decision);
        }
    }
}

const fn directions(direction: Option<Direction>) -> &'static [u16] {
    match direction {
        None => &[0, PASSIVE],
        Some(Direction::Active) => &[0],
        Some(Direction::Passive) => &[PASSIVE],
    }
}

/// Gives every prefix what those around it have, and drops those that would
/// only repeat what the next larger one says.
///
/// In the order of the map, the prefixes around one are the last ones before
/// it that contain it: a stack of them is enough.
///
/// Loopback addresses that a hop names are an island: limits of what lies around
/// do not reach them, unless with `loopback`.
fn inherit(table: BTreeMap<Prefix, Decision>, loopback: bool) -> Vec<(Prefix, Decision)> {
    let mut kept = Vec::new();
    let mut around: Vec<(Prefix, Decision)> = Vec::new();
    for (prefix, own) in table {
        while around.last().is_some_and(|(outer, _)| !outer.contains(prefix)) {
            around.pop();
        }
        let outer = around.last().map(|(_, decision)| *decision).unwrap_or_default();
        let is_island = prefix.is_loopback() && !loopback;
        let reaching = if is_island && !outer.loopback { outer.without_limits() } else { outer };
        // Prefixes of IPv6 say nothing about IPv4, wherever it is mapped.
        let decision = if prefix == Prefix::V4 { own } else { own.or_better(reaching) };
        let decision = Decision { loopback: (loopback || is_island) && decision.has_limits(), ..decision };
        if decision != outer {
            kept.push((prefix, decision));
            around.push((prefix, decision));
        }
    }
    kept
}

impl Decision {
    fn of(index: usize, hop: &Hop) -> Self {
        let timeout_ms = hop.timeout_ms();
        if hop.kind.facts().keepalive {
            let limit = Limit { hop: index, timeout_ms, timing: derive(timeout_ms / 1000) };
            let half_closed = Timer { hop: index, timeout_ms: milliseconds(hop.half_closed()) };
            Self { limit: Some(limit), half_closed: Some(half_closed), ..Self::default() }
        } else {
            Self { layer7: Some(Timer { hop: index, timeout_ms }), ..Self::default() }
        }
    }

    fn of_policy(index: usize) -> Self {
        Self { policy: Some(index), ..Self::default() }
    }

    const fn has_limits(&self) -> bool {
        self.limit.is_some() || self.layer7.is_some()
    }

    fn without_limits(self) -> Self {
        Self { policy: self.policy, ..Self::default() }
    }

    /// The shorter limits and the shorter timer of both, of two alike that of
    /// the hop that was given first; and the first policy.
    #[must_use]
    pub fn or_better(self, other: Self) -> Self {
        let limits = self.limit.into_iter().chain(other.limit);
        let shortest = |one: Option<Timer>, other: Option<Timer>| {
            one.into_iter().chain(other).min_by_key(|timer| (timer.timeout_ms, timer.hop))
        };
        Self {
            limit: limits.min_by_key(|limit| (limit.timeout_ms, limit.hop)),
            layer7: shortest(self.layer7, other.layer7),
            half_closed: shortest(self.half_closed, other.half_closed),
            loopback: self.loopback || other.loopback,
            policy: self.policy.into_iter().chain(other.policy).min(),
        }
    }
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

impl Uses {
    const fn note(&mut self, scope: u16, port: u16) {
        if scope & LOCAL != 0 {
            self.local = true;
        } else if port != 0 {
            self.remote_port = true;
        } else {
            self.remote = true;
        }
    }
}

impl Prefix {
    /// Everything.
    const ALL: Self = Self { bits: 0, len: 0 };
    /// Where IPv4 is mapped: `::ffff:0:0/96`.
    const V4: Self = Self { bits: 0xffff_0000_0000, len: 96 };
    /// `127.0.0.0/8` and `::1`.
    const LOOPBACK: [Self; 2] = [Self { bits: 0xffff_7f00_0000, len: 104 }, Self { bits: 1, len: 128 }];

    fn is_loopback(self) -> bool {
        Self::LOOPBACK.iter().any(|loopback| loopback.contains(self))
    }

    fn of(prefix: &IpNet) -> Self {
        match prefix.network() {
            IpAddr::V4(address) => Self { bits: address.to_ipv6_mapped().to_bits(), len: 96 + prefix.prefix_len() },
            IpAddr::V6(address) => Self { bits: address.to_bits(), len: prefix.prefix_len() },
        }
    }

    fn contains(self, other: Self) -> bool {
        let differing = (self.bits ^ other.bits).leading_zeros();
        self.len <= other.len && differing >= u32::from(self.len)
    }
}

#[cfg(test)]
mod tests;
