//! From hops to what the kernel looks up when a connection is established.
//!
//! The kernel has one trie of longest prefixes. It looks up the peer's address
//! with the peer's port and with any port, and our address, each among the
//! flows of its direction. Each hit names a [`Decision`]; the shortest limit of
//! them counts, and by itself the shortest timer of the application layer.
//!
//! Policies have places too, and the first one that matches a flow counts. Which of them can match depends on the
//! flow's cgroup: each set of them has its own part of the trie, with all hops in it.
//!
//! The trie returns the longest prefix only, so every entry carries the best of
//! all hops whose place contains it, within its own lookup. The other lookups
//! bring in theirs. Entries that would only repeat another are omitted.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    time::Duration,
};

use injector_common::{
    decision::{
        BY_LOCAL, BY_PEER, BY_PORT, Decision, FALLBACK, KEY_HEAD_BITS, NO_HOP, NOTHING, RuleKey, SCOPE_LOCAL,
        SCOPE_PASSIVE, SET_SHIFT,
    },
    keepalive::FlowPolicy,
};
use ipnet::IpNet;
use zerocopy::IntoBytes as _;

use crate::{
    hop::{Direction, Ends, Hop, Scope},
    rules::policy::Policy,
};

/// The compiled tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Compiled {
    /// Decisions, each once. They hold limits and hops; what follows from the
    /// settings is still missing.
    pub decisions: Vec<Decision>,
    /// Entries of the trie, sorted by key.
    pub entries: Vec<Entry>,
    /// Lookups that can find anything, of [`injector_common::decision::LOOKUPS`].
    pub lookups: u32,
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its key.
    pub key: RuleKey,
    /// How many bits of the key count.
    pub bits: u32,
    /// Index of its decision, where that for all other flows, [`FALLBACK`], comes
    /// before the compiled ones.
    pub decision: u32,
}

/// One lookup: scope and port.
type Lookup = (u16, u16);
/// Decisions by lookup, then by prefix. Prefixes sort before all that they
/// contain.
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
pub(super) fn compile(hops: &[Hop], policies: &[Policy], sets: &[Vec<usize>], loopback: bool) -> Compiled {
    let mut compiled = Compiled::default();
    let mut indices = HashMap::new();
    for ((scope, port), mut table) in tables(hops, policies, sets) {
        compiled.lookups |= lookup(scope, port);
        table.entry(Prefix::V4).or_insert_with(no_limits);
        for (prefix, decision) in inherit(table, loopback) {
            let next = FALLBACK + 1 + u32::try_from(indices.len()).unwrap_or(u32::MAX - 1);
            let index = *indices.entry(decision.as_bytes().to_vec()).or_insert_with(|| {
                compiled.decisions.push(decision);
                next
            });
            let key = RuleKey { scope, port, address: prefix.words() };
            compiled.entries.push(Entry { key, bits: KEY_HEAD_BITS + u32::from(prefix.len), decision: index });
        }
    }
    compiled
}

const fn lookup(scope: u16, port: u16) -> u32 {
    match (scope & SCOPE_LOCAL, port) {
        (0, 0) => BY_PEER,
        (0, _) => BY_PORT,
        _ => BY_LOCAL,
    }
}

fn tables(hops: &[Hop], policies: &[Policy], sets: &[Vec<usize>]) -> Tables {
    let mut tables = Tables::new();
    for (set, members) in (0_u16..).zip(sets) {
        let hops = (0_u32..).zip(hops).map(|(index, hop)| (&hop.scope, of_hop(index, hop)));
        let of = |&index: &usize| {
            let policy = policies.get(index)?;
            Some((&policy.scope, Decision { instead: policy.instead(index), ..no_limits() }))
        };
        for (scope, decision) in hops.chain(members.iter().filter_map(of)) {
            put(&mut tables, set << SET_SHIFT, scope, &decision);
        }
    }
    tables
}

fn put(tables: &mut Tables, set: u16, scope: &Scope, decision: &Decision) {
    let (side, port, prefixes) = match &scope.ends {
        Ends::Any => (0, 0, vec![Prefix::ALL, Prefix::V4]),
        Ends::Remote { prefixes, port } => (0, port.unwrap_or(0), prefixes.iter().map(Prefix::of).collect()),
        Ends::Local { prefixes } => (SCOPE_LOCAL, 0, prefixes.iter().map(Prefix::of).collect()),
    };
    for lookup in directions(scope.direction).iter().map(|direction| set | side | direction) {
        let table = tables.entry((lookup, port)).or_default();
        for prefix in &prefixes {
            let here = table.entry(*prefix).or_insert_with(no_limits);
            *here = better(here, decision);
        }
    }
}

const fn directions(direction: Option<Direction>) -> &'static [u16] {
    match direction {
        None => &[0, SCOPE_PASSIVE],
        Some(Direction::Active) => &[0],
        Some(Direction::Passive) => &[SCOPE_PASSIVE],
    }
}

/// Merges into every prefix the decisions of those around it, and drops those that would only repeat the next larger
/// one.
///
/// In the order of the map, the prefixes around one are the last ones before
/// it that contain it: a stack of them is enough.
///
/// Loopback addresses that a hop names are an island: limits of surrounding prefixes do not reach them, unless with
/// `loopback`.
fn inherit(table: BTreeMap<Prefix, Decision>, loopback: bool) -> Vec<(Prefix, Decision)> {
    let mut kept = Vec::new();
    let mut around: Vec<(Prefix, Decision)> = Vec::new();
    for (prefix, own) in table {
        while around.last().is_some_and(|(outer, _)| !outer.contains(prefix)) {
            around.pop();
        }
        let outer = around.last().map_or_else(no_limits, |(_, decision)| *decision);
        let is_island = prefix.is_loopback() && !loopback;
        let reaching =
            if is_island && outer.loopback == 0 { Decision { instead: outer.instead, ..no_limits() } } else { outer };
        // Prefixes of IPv6 don't apply to mapped IPv4.
        let decision = if prefix == Prefix::V4 { own } else { better(&own, &reaching) };
        let is_meant_for_loopback = (loopback || is_island) && has_limits(&decision);
        let decision = Decision { loopback: is_meant_for_loopback.into(), ..decision };
        if decision != outer {
            kept.push((prefix, decision));
            around.push((prefix, decision));
        }
    }
    kept
}

/// No hop has a limit, and no policy applies.
pub(super) fn no_limits() -> Decision {
    Decision { hop: NO_HOP, layer7_hop: NO_HOP, half_closed_hop: NO_HOP, ..Decision::default() }
}

fn of_hop(index: u32, hop: &Hop) -> Decision {
    let timeout_ms = hop.timeout_ms();
    if !hop.kind.facts().keepalive {
        return Decision { layer7_ms: timeout_ms, layer7_hop: index, ..no_limits() };
    }
    Decision {
        policy: FlowPolicy { limit_ms: timeout_ms, ..FlowPolicy::default() },
        hop: index,
        half_closed_ms: milliseconds(hop.half_closed()),
        half_closed_hop: index,
        ..no_limits()
    }
}

const fn has_limits(decision: &Decision) -> bool {
    decision.hop != NO_HOP || decision.layer7_hop != NO_HOP
}

/// The shorter limits and the shorter timer of both, of two alike that of the
/// hop that was given first; and the first policy.
fn better(one: &Decision, other: &Decision) -> Decision {
    // Present values come before missing ones.
    let first = |of: fn(&Decision) -> (bool, u32, u32)| if of(other) < of(one) { other } else { one };
    let limit = first(|one| (one.hop == NO_HOP, one.policy.limit_ms, one.hop));
    let layer7 = first(|one| (one.layer7_hop == NO_HOP, one.layer7_ms, one.layer7_hop));
    let half_closed = first(|one| (one.half_closed_hop == NO_HOP, one.half_closed_ms, one.half_closed_hop));
    let instead = first(|one| (one.instead.mode == NOTHING, one.instead.order, 0));
    Decision { loopback: one.loopback | other.loopback, ..combined(limit, layer7, half_closed, instead) }
}

/// What applies where each part comes from a decision of its own; not for flows within this host.
fn combined(limit: &Decision, layer7: &Decision, half_closed: &Decision, instead: &Decision) -> Decision {
    Decision {
        policy: limit.policy,
        hop: limit.hop,
        layer7_ms: layer7.layer7_ms,
        layer7_hop: layer7.layer7_hop,
        half_closed_ms: half_closed.half_closed_ms,
        half_closed_hop: half_closed.half_closed_hop,
        instead: instead.instead,
        ..no_limits()
    }
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
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

    /// As a key has them.
    fn words(self) -> [u32; 4] {
        zerocopy::transmute!(self.bits.to_be_bytes())
    }

    fn contains(self, other: Self) -> bool {
        let differing = (self.bits ^ other.bits).leading_zeros();
        self.len <= other.len && differing >= u32::from(self.len)
    }
}

#[cfg(test)]
mod tests;
