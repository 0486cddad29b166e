//! Which limit applies to a flow: what userspace compiled from the hops, and
//! how it is looked up.
//!
//! One trie of longest prefixes holds all rules. A flow is looked up by its
//! peer's address and port, by its peer's address alone and by its own address;
//! each hit names a [`Decision`], and of each kind of limit the shortest counts:
//! that of an established connection, that of a half-closed one, and that of a
//! timer which sees payload alone.
//!
//! Overrides by policies are found by the same lookups: of those that match a flow, the first in their order counts.
//! Where policies select cgroups, the flow's cgroup has a number, which is part of every key.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    keepalive::{FlowPolicy, Keepalive},
    opaque::Opaque,
    record::Endpoints,
};

/// The decision for flows without a rule.
pub const FALLBACK: u32 = 0;
/// "None of the hops."
pub const NO_HOP: u32 = u32::MAX;

/// Bit of [`RuleKey::scope`]: for accepted flows; otherwise for those that we
/// opened.
pub const SCOPE_PASSIVE: u16 = 1 << 1;
/// Bit of [`RuleKey::scope`]: the address is ours; otherwise the peer's.
pub const SCOPE_LOCAL: u16 = 1 << 0;

/// Lookup by the peer's address and port.
pub const BY_PORT: u32 = 1 << 0;
/// Lookup by the peer's address, whatever the port.
pub const BY_PEER: u32 = 1 << 1;
/// Lookup by our address.
pub const BY_LOCAL: u32 = 1 << 2;
/// Not a lookup of its own: the number of the flow's cgroup counts in all.
pub const BY_CGROUP: u32 = 1 << 3;
/// All lookups.
pub const LOOKUPS: [u32; 3] = [BY_PORT, BY_PEER, BY_LOCAL];

/// What counts for the flows of a rule; a value of the `DECISIONS` map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Decision {
    /// What to inject, and the limit to beat. A limit of 0 ms: this rule knows
    /// of none.
    pub policy: FlowPolicy,
    /// Index of the hop that has the limit, or [`NO_HOP`].
    pub hop: u32,
    /// Timer that counts only payload, which keepalive does not reset, in milliseconds; 0 for none.
    pub layer7_ms: u32,
    /// Application idle time from which that makes a flow count as at risk, in
    /// milliseconds.
    pub layer7_warn_ms: u32,
    /// Index of the hop that has that timer, or [`NO_HOP`].
    pub layer7_hop: u32,
    /// The limit of connections that one side has ended, in milliseconds; 0 for
    /// none.
    pub half_closed_ms: u32,
    /// Wire idle time from which such a flow counts as at risk, in milliseconds.
    pub half_closed_warn_ms: u32,
    /// Index of the hop that has that limit, or [`NO_HOP`].
    pub half_closed_hop: u32,
    /// 1 where the limits are those of flows within this host, too; otherwise 0.
    pub loopback: u32,
    /// The override of a policy.
    pub instead: Override,
}

const _: () = assert!(size_of::<Decision>() == 92);

/// No override.
pub const NOTHING: u32 = 0;
/// Keepalive as it follows from the limit.
pub const DERIVED: u32 = 1;
/// No keepalive at all: the flow is left alone.
pub const EXEMPTED: u32 = 2;
/// Keepalive as the policy gives it.
pub const EXPLICIT: u32 = 3;

/// The conflict rule that goes with the limit.
pub const SAME_CONFLICT: u32 = u32::MAX;

/// Adoption as configured elsewhere.
pub const ADOPT_AS_ASKED: u32 = 0;
/// Flows that were open before are adopted.
pub const ADOPT: u32 = 1;
/// They are left alone.
pub const LEAVE: u32 = 2;

/// What a policy sets for a flow, in place of what follows from its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Override {
    /// Place of the policy among all; the first one counts.
    pub order: u32,
    /// [`NOTHING`], [`DERIVED`], [`EXEMPTED`] or [`EXPLICIT`].
    pub mode: u32,
    /// With [`EXPLICIT`].
    pub keepalive: Keepalive,
    /// From [`crate::conflict`], or [`SAME_CONFLICT`].
    pub conflict: u32,
    /// [`ADOPT_AS_ASKED`], [`ADOPT`] or [`LEAVE`]. Userspace alone asks.
    pub adopt: u32,
}

impl Override {
    /// Applies the override to the policy of a limit.
    #[inline(always)]
    pub const fn of(&self, policy: &FlowPolicy) -> FlowPolicy {
        let mut policy = *policy;
        match self.mode {
            EXEMPTED => policy.keepalive.idle_s = 0,
            EXPLICIT => policy.keepalive = self.keepalive,
            _ => {}
        }
        if self.mode != NOTHING && self.conflict != SAME_CONFLICT {
            policy.conflict = self.conflict;
        }
        policy
    }
}

/// Data of a key in the `RULES` map. Scope and port always count in full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RuleKey {
    /// [`SCOPE_PASSIVE`] and [`SCOPE_LOCAL`]; above them the number of the
    /// cgroup.
    pub scope: u16,
    /// The peer's port in host byte order; 0 where it does not matter.
    pub port: u16,
    /// IPv6 words in network byte order; IPv4 is mapped.
    pub address: [u32; 4],
}

/// Bits of [`RuleKey`] before the address.
pub const KEY_HEAD_BITS: u32 = 32;
/// Bits of [`RuleKey`].
pub const KEY_BITS: u32 = KEY_HEAD_BITS + 128;

const _: () = assert!(size_of::<RuleKey>() * 8 == KEY_BITS as usize);

/// Where the number of the cgroup begins in [`RuleKey::scope`].
pub const SET_SHIFT: u32 = 2;
/// Largest number of a cgroup.
pub const MAX_SET: u16 = u16::MAX >> SET_SHIFT;

/// The key of one of the [`LOOKUPS`], for flows of cgroups with the number
/// `set`.
#[inline(always)]
pub const fn key(lookup: u32, endpoints: &Endpoints, is_passive: bool, set: u16) -> RuleKey {
    let direction = (set << SET_SHIFT) | if is_passive { SCOPE_PASSIVE } else { 0 };
    match lookup {
        BY_PORT => RuleKey { scope: direction, port: endpoints.peer_port, address: endpoints.peer_address },
        BY_PEER => RuleKey { scope: direction, port: 0, address: endpoints.peer_address },
        _ => RuleKey { scope: direction | SCOPE_LOCAL, port: 0, address: endpoints.local_address },
    }
}

/// Indices of the decisions that count for a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Selection {
    /// Whose policy counts; [`FALLBACK`] where no rule has a limit.
    pub limit: u32,
    /// Whose layer-7 timer counts; [`FALLBACK`], which has none, where no rule
    /// has one.
    pub layer7: u32,
    /// Whose override counts; [`FALLBACK`], which has none, where no rule has
    /// one.
    pub instead: u32,
}

/// The best of the decisions seen so far.
#[derive(Clone, Copy, Debug)]
pub struct Best {
    /// Their indices.
    pub choice: Selection,
    /// Whose limit counts once one side has ended; [`FALLBACK`] where no rule has
    /// one. Not kept: few connections are half-closed, and not for long.
    pub half_closed: u32,
    limit_ms: u32,
    half_closed_ms: u32,
    layer7_ms: u32,
    order: u32,
}

impl Best {
    /// Nothing seen.
    pub const NONE: Self = Self {
        choice: Selection { limit: FALLBACK, layer7: FALLBACK, instead: FALLBACK },
        half_closed: FALLBACK,
        limit_ms: u32::MAX,
        half_closed_ms: u32::MAX,
        layer7_ms: u32::MAX,
        order: u32::MAX,
    };

    /// Takes over what `decision` has that is shorter, or comes first. For a
    /// flow within this host (`is_local`) only limits that are meant for it count.
    #[inline(always)]
    pub const fn consider(&mut self, index: u32, decision: &Decision, is_local: bool) {
        if !is_local || decision.loopback != 0 {
            self.consider_limits(index, decision);
        }
        if decision.instead.mode != NOTHING && decision.instead.order < self.order {
            self.order = decision.instead.order;
            self.choice.instead = index;
        }
    }

    #[inline(always)]
    const fn consider_limits(&mut self, index: u32, decision: &Decision) {
        let limit_ms = decision.policy.limit_ms;
        if limit_ms != 0 && limit_ms < self.limit_ms {
            self.limit_ms = limit_ms;
            self.choice.limit = index;
        }
        let half_closed_ms = decision.half_closed_ms;
        if half_closed_ms != 0 && half_closed_ms < self.half_closed_ms {
            self.half_closed_ms = half_closed_ms;
            self.half_closed = index;
        }
        if decision.layer7_ms != 0 && decision.layer7_ms < self.layer7_ms {
            self.layer7_ms = decision.layer7_ms;
            self.choice.layer7 = index;
        }
    }
}

impl Opaque for Best {
    #[inline(always)]
    fn opaque(self) -> Self {
        let Selection { limit, layer7, instead } = self.choice;
        Self {
            choice: Selection { limit: limit.opaque(), layer7: layer7.opaque(), instead: instead.opaque() },
            half_closed: self.half_closed.opaque(),
            limit_ms: self.limit_ms.opaque(),
            half_closed_ms: self.half_closed_ms.opaque(),
            layer7_ms: self.layer7_ms.opaque(),
            order: self.order.opaque(),
        }
    }
}

/// Longest name of a hop, in bytes.
pub const MAX_HOP_NAME: usize = 63;

/// The name of a hop, for later invocations; a value of the `HOPS` map.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct HopName {
    length: u8,
    name: [u8; MAX_HOP_NAME],
}

impl HopName {
    /// A longer one than [`MAX_HOP_NAME`] is cut.
    pub fn new(name: &str) -> Self {
        let bytes = name.as_bytes();
        let length = bytes.len().min(MAX_HOP_NAME);
        let mut name = [0; MAX_HOP_NAME];
        name[..length].copy_from_slice(&bytes[..length]);
        #[expect(clippy::cast_possible_truncation, reason = "at most MAX_HOP_NAME")]
        Self { length: length as u8, name }
    }

    /// The name.
    pub fn as_bytes_of_name(&self) -> &[u8] {
        &self.name[..usize::from(self.length).min(MAX_HOP_NAME)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(limit_ms: u32, layer7_ms: u32) -> Decision {
        Decision { policy: FlowPolicy { limit_ms, ..FlowPolicy::default() }, layer7_ms, ..Decision::default() }
    }

    #[test]
    fn of_each_kind_the_shortest_counts() {
        let mut best = Best::NONE;
        let seen = [(3, decision(350, 0)), (4, decision(60, 900)), (5, decision(0, 60)), (6, decision(70, 70))];
        for (index, decision) in seen {
            best.consider(index, &decision, false);
        }
        assert_eq!(best.choice, Selection { limit: 4, layer7: 5, instead: FALLBACK });
        assert_eq!(Best::NONE.choice, Selection { limit: FALLBACK, layer7: FALLBACK, instead: FALLBACK });
    }

    #[test]
    fn of_half_closed_limits_the_shortest_counts() {
        let half_closed = |half_closed_ms| Decision { half_closed_ms, ..decision(350, 0) };
        let mut best = Best::NONE;
        for (index, decision) in
            [(3, half_closed(0)), (4, half_closed(120)), (5, half_closed(60)), (6, half_closed(60))]
        {
            best.consider(index, &decision, false);
        }
        assert_eq!((best.half_closed, best.choice.limit), (5, 3));
        assert_eq!(Best::NONE.half_closed, FALLBACK);
    }

    #[test]
    fn within_this_host_only_limits_meant_for_it_count() {
        let all = Decision {
            half_closed_ms: 5,
            instead: Override { mode: EXEMPTED, ..Override::default() },
            ..decision(60, 30)
        };
        let meant = Decision { loopback: 1, half_closed_ms: 9, ..decision(90, 80) };
        let mut best = Best::NONE;
        best.consider(3, &all, true);
        assert_eq!((best.choice, best.half_closed), (Selection { instead: 3, ..Best::NONE.choice }, FALLBACK));
        best.consider(4, &meant, true);
        assert_eq!((best.choice, best.half_closed), (Selection { limit: 4, layer7: 4, instead: 3 }, 4));
    }

    #[test]
    fn of_two_alike_the_first_counts() {
        let override_ = Override { order: 1, mode: EXPLICIT, ..Override::default() };
        let same = Decision { half_closed_ms: 7, instead: override_, ..decision(60, 30) };
        let mut best = Best::NONE;
        for index in [8, 9] {
            best.consider(index, &same, false);
        }
        assert_eq!((best.choice, best.half_closed), (Selection { limit: 8, layer7: 8, instead: 8 }, 8));
    }

    #[test]
    fn of_overrides_the_first_counts() {
        let instead =
            |order, mode| Decision { instead: Override { order, mode, ..Override::default() }, ..decision(0, 0) };
        let mut best = Best::NONE;
        for (index, decision) in [(3, instead(7, EXEMPTED)), (4, instead(2, DERIVED)), (5, instead(0, NOTHING))] {
            best.consider(index, &decision, false);
        }
        assert_eq!(best.choice, Selection { limit: FALLBACK, layer7: FALLBACK, instead: 4 });
    }

    #[test]
    fn overrides_leave_the_limit() {
        let keepalive = |idle_s| Keepalive { idle_s, interval_s: 5, probes: 9, user_timeout_ms: 0 };
        let policy = FlowPolicy { keepalive: keepalive(240), limit_ms: 350_000, warn_ms: 280_000, conflict: 0 };
        let instead = |mode, conflict| Override { mode, conflict, keepalive: keepalive(60), ..Override::default() };
        let table = [
            (instead(NOTHING, 2), 240, 0),
            (instead(DERIVED, SAME_CONFLICT), 240, 0),
            (instead(DERIVED, 1), 240, 1),
            (instead(EXEMPTED, SAME_CONFLICT), 0, 0),
            (instead(EXPLICIT, 2), 60, 2),
        ];
        for (instead, idle_s, conflict) in table {
            let policy = instead.of(&policy);
            assert_eq!((policy.keepalive.idle_s, policy.conflict, policy.limit_ms), (idle_s, conflict, 350_000));
        }
    }

    #[test]
    fn keys_distinguish_the_lookups() {
        let endpoints = Endpoints { local_address: [1; 4], peer_address: [2; 4], local_port: 3, peer_port: 4 };
        let table = [
            (BY_PORT, false, 0, RuleKey { scope: 0, port: 4, address: [2; 4] }),
            (BY_PEER, true, 0, RuleKey { scope: 2, port: 0, address: [2; 4] }),
            (BY_LOCAL, false, 0, RuleKey { scope: 1, port: 0, address: [1; 4] }),
            (BY_LOCAL, true, 0, RuleKey { scope: 3, port: 0, address: [1; 4] }),
            (BY_PEER, true, MAX_SET, RuleKey { scope: 0xfffe, port: 0, address: [2; 4] }),
        ];
        for (lookup, is_passive, set, expected) in table {
            assert_eq!(key(lookup, &endpoints, is_passive, set), expected);
        }
    }

    #[test]
    fn names_come_back() {
        let long = "x".repeat(MAX_HOP_NAME + 1);
        for (name, expected) in [("", ""), ("nlb", "nlb"), (&long, &long[..MAX_HOP_NAME])] {
            assert_eq!(HopName::new(name).as_bytes_of_name(), expected.as_bytes());
        }
    }
}
