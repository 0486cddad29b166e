//! What the kernel finds, against the definition.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    slice,
    time::Duration,
};

use injector_common::{
    decision::{Best, LOOKUPS, Selection, key},
    record::Endpoints,
};
use proptest::prelude::*;
use rustix::time::{ClockId, clock_gettime};

use super::*;
use crate::{
    hop::{HopArg, Kind, Scope, Source, Tuple},
    rules::policy::{Mode, Selector},
};

fn hops(args: &[&str]) -> Vec<Hop> {
    args.iter().map(|text| HopArg::parse_hop(text).expect(text)).collect()
}

/// Of hops alone.
fn compile(hops: &[Hop]) -> Compiled {
    super::compile(hops, &[], &[vec![]], true)
}

fn look_up(compiled: &Compiled, flow: &Tuple) -> Decision {
    look_up_in(compiled, flow, 0)
}

/// What the kernel does.
fn look_up_in(compiled: &Compiled, flow: &Tuple, set: u16) -> Decision {
    let endpoints = Endpoints {
        local_address: Prefix { bits: mapped(flow.local.ip()), len: 128 }.words(),
        peer_address: Prefix { bits: mapped(flow.peer.ip()), len: 128 }.words(),
        local_port: flow.local.port(),
        peer_port: flow.peer.port(),
    };
    let mut best = Best::NONE;
    for lookup in LOOKUPS.into_iter().filter(|lookup| compiled.lookups & lookup != 0) {
        let key = key(lookup, &endpoints, flow.direction == Direction::Passive, set);
        let matching = compiled.entries.iter().filter(|entry| matches(entry, &key));
        if let Some(Entry { decision, .. }) = matching.max_by_key(|entry| entry.bits) {
            best.consider(*decision, &of(compiled, *decision), false);
        }
    }
    let Selection { limit, layer7, instead } = best.choice;
    let (limit, layer7, instead) = (of(compiled, limit), of(compiled, layer7), of(compiled, instead));
    let half_closed = of(compiled, best.half_closed);
    Decision { loopback: limit.loopback | layer7.loopback, ..combined(&limit, &layer7, &half_closed, &instead) }
}

fn matches(entry: &Entry, key: &RuleKey) -> bool {
    let bits = |address: [u32; 4]| u128::from_be_bytes(zerocopy::transmute!(address));
    let differing = KEY_HEAD_BITS + (bits(entry.key.address) ^ bits(key.address)).leading_zeros();
    (entry.key.scope, entry.key.port) == (key.scope, key.port) && differing >= entry.bits
}

fn of(compiled: &Compiled, decision: u32) -> Decision {
    decision.checked_sub(1).map_or_else(no_limits, |index| compiled.decisions[index as usize])
}

/// Limit, timer, half-closed limit, and order of the policy. Which one of two
/// hops that are alike counts, the definition leaves open.
type Found = (u32, u32, u32, Option<u32>);

fn found(decision: &Decision) -> Found {
    let order = (decision.instead.mode != NOTHING).then_some(decision.instead.order);
    (decision.policy.limit_ms, decision.layer7_ms, decision.half_closed_ms, order)
}

fn naive(hops: &[Hop], flow: &Tuple) -> Found {
    let passed = hops.iter().filter(|hop| hop.scope.contains(flow));
    let (limits, timers): (Vec<_>, Vec<_>) = passed.partition(|hop| hop.kind.facts().keepalive);
    let shortest = |hops: &[&Hop], of: fn(&Hop) -> u32| hops.iter().map(|hop| of(hop)).min().unwrap_or(0);
    let half_closed = shortest(&limits, |hop| milliseconds(hop.half_closed()));
    (shortest(&limits, Hop::timeout_ms), shortest(&timers, Hop::timeout_ms), half_closed, None)
}

/// For all flows that go there.
fn policy(scope: Scope) -> Policy {
    Policy { selector: Selector::default(), scope, keepalive: Mode::Exempt, on_conflict: None, adopt: None }
}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn to(peer: &str) -> Tuple {
    let local = "10.0.0.1:40000".parse().expect("an address");
    Tuple { local, peer: peer.parse().expect(peer), direction: Direction::Active }
}

#[test]
fn the_shortest_on_the_path_counts() {
    let hops = hops(&[
        "eni=eni:350s",
        "db=nlb-tcp:60s@10.0.9.0/24:5432",
        "slow=nlb-tcp:1800s@10.0.0.0/8",
        "web=alb:30s@10.0.0.0/16",
        "api=alb:20s@10.0.9.0/24",
        "v6=custom:100s@[2001:db8::]/32",
    ]);
    let compiled = compile(&hops);
    let table = [
        ("10.0.9.7:5432", Some("db"), Some("api")),
        ("10.0.9.7:80", Some("eni"), Some("api")),
        ("10.0.8.7:80", Some("eni"), Some("web")),
        ("10.1.0.1:80", Some("eni"), None),
        ("192.0.2.1:5432", Some("eni"), None),
        ("[2001:db8::1]:80", Some("v6"), None),
        ("[2001:db9::1]:80", Some("eni"), None),
    ];
    for (peer, limit, layer7) in table {
        let found = look_up(&compiled, &to(peer));
        let name = |hop: u32| hops.get(hop as usize).map(|hop| hop.name.as_str());
        assert_eq!((name(found.hop), name(found.layer7_hop)), (limit, layer7), "{peer}");
    }
    assert_eq!(look_up(&compiled, &to("10.0.9.7:5432")).policy.limit_ms, 60_000);
}

#[test]
fn lookups_that_find_nothing_are_not_asked_for() {
    let table: [(&[&str], u32); 4] = [
        (&[], 0),
        (&["a=eni"], BY_PEER),
        (&["a=eni@10.0.0.0/8:80"], BY_PORT),
        (&["a=eni@10.0.0.0/8:80", "b=eni"], BY_PORT | BY_PEER),
    ];
    for (args, lookups) in table {
        assert_eq!(compile(&hops(args)).lookups, lookups, "{args:?}");
    }
}

#[test]
fn ipv6_says_nothing_about_ipv4() {
    let compiled = compile(&hops(&["x=custom:60s@[::]/0", "y=custom:90s@[::]/80"]));
    assert_eq!(look_up(&compiled, &to("10.0.0.1:80")), no_limits());
    assert_eq!(look_up(&compiled, &to("[::1]:80")).policy.limit_ms, 60_000);
}

#[test]
fn repetition_is_omitted() {
    let compiled = compile(&hops(&["a=custom:60s", "b=custom:90s@10.0.0.0/8", "c=custom:80s@10.1.0.0/16"]));
    assert_eq!((compiled.decisions.len(), compiled.entries.len()), (1, 2), "one for each direction");
}

#[test]
fn loopback_addresses_are_an_island() {
    let hops = hops(&[
        "all=eni:60s",
        "lb=custom:90s@127.0.0.0/8",
        "one=custom:120s@127.0.0.1/32:80",
        "web=alb:30s@[::1]/128",
        "wide=custom:70s@[::]/0",
        "wide4=custom:80s@0.0.0.0/0",
    ]);
    let general = policy(Scope::ANYWHERE);
    let find = |loopback, peer: &str| {
        let compiled = super::compile(&hops, slice::from_ref(&general), &[vec![0]], loopback);
        let found = look_up(&compiled, &to(peer));
        let name = |hop: u32| hops.get(hop as usize).map(|hop| hop.name.as_str());
        assert_eq!(found.instead, general.instead(0), "{peer}: a policy is for all flows");
        let limit = name(found.hop);
        assert_eq!(found.half_closed_ms != 0, limit.is_some(), "{peer}");
        (limit, name(found.layer7_hop), found.loopback != 0)
    };
    for (peer, expected) in [
        ("10.0.0.1:80", (Some("all"), None, false)),
        ("126.0.0.1:80", (Some("all"), None, false)),
        ("[::2]:80", (Some("all"), None, false)),
        ("127.0.0.1:80", (Some("lb"), None, true)),
        ("127.9.9.9:80", (Some("lb"), None, true)),
        ("[::1]:80", (None, Some("web"), true)),
    ] {
        assert_eq!(find(false, peer), expected, "{peer}");
    }
    for (peer, expected) in [
        ("10.0.0.1:80", (Some("all"), None, true)),
        ("127.0.0.1:80", (Some("all"), None, true)),
        ("[::1]:80", (Some("all"), Some("web"), true)),
    ] {
        assert_eq!(find(true, peer), expected, "{peer}, with all others");
    }
}

/// Of this thread: what else the machine does is of no interest.
fn processor_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("not negative")
}

#[test]
fn ten_thousand_hops_are_no_trouble() {
    let hop = |n: u32| {
        let prefix = IpNet::new_assert(Ipv4Addr::from_bits(0x0a00_0000 | n << 4).into(), 28);
        let timeout = Some(Duration::from_secs(u64::from(60 + n % 5000)));
        Hop::new(&format!("h{n}"), Kind::Custom, timeout, Scope::remote(vec![prefix], None), Source::Flag)
    };
    let hops: Vec<_> = (0..10_000).map(|n| hop(n).expect("valid")).collect();
    let start = processor_time();
    let compiled = compile(&hops);
    let took = processor_time().saturating_sub(start);
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert_eq!(compiled.entries.len(), 20_000);
    assert_eq!(look_up(&compiled, &to("10.0.0.33:1")).hop, 2);
}

/// Few bits vary, so that prefixes and flows meet.
fn any_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u8>().prop_map(|n| Ipv4Addr::new(10, n & 3, 0, n >> 4).into()),
        any::<u8>().prop_map(|n| Ipv6Addr::new(u16::from(n & 1), 0, 0, 0, 0, 0, 0, u16::from(n >> 5)).into()),
    ]
}

fn any_prefix() -> impl Strategy<Value = IpNet> {
    (any_address(), 0_u8..=128).prop_map(|(address, length)| match address {
        IpAddr::V4(_) => IpNet::new_assert(address, length % 33).trunc(),
        IpAddr::V6(_) => IpNet::new_assert(address, length).trunc(),
    })
}

fn any_direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Active), Just(Direction::Passive)]
}

fn any_scope() -> impl Strategy<Value = Scope> {
    let ends = prop_oneof![
        Just(Ends::Any),
        (proptest::collection::vec(any_prefix(), 1..4), proptest::option::of(1_u16..3))
            .prop_map(|(prefixes, port)| Ends::Remote { prefixes, port }),
        proptest::collection::vec(any_prefix(), 1..4).prop_map(|prefixes| Ends::Local { prefixes }),
    ];
    (ends, proptest::option::of(any_direction())).prop_map(|(ends, direction)| Scope { ends, direction })
}

fn any_hop() -> impl Strategy<Value = Hop> {
    let kind = prop_oneof![Just(Kind::Custom), Just(Kind::Alb)];
    (any_scope(), kind, 2_u64..40).prop_map(|(scope, kind, seconds)| {
        let timeout = Some(Duration::from_secs(seconds));
        Hop::new("x", kind, timeout, scope, Source::Flag).expect("in range")
    })
}

fn any_flow() -> impl Strategy<Value = Tuple> {
    (any_address(), any_address(), 1_u16..4, any_direction()).prop_map(|(local, peer, port, direction)| Tuple {
        local: SocketAddr::new(local, 9),
        peer: SocketAddr::new(peer, port),
        direction,
    })
}

proptest! {
    #[test]
    fn the_kernel_finds_what_the_definition_says(
        hops in proptest::collection::vec(any_hop(), 0..12), flows in proptest::collection::vec(any_flow(), 1..20),
    ) {
        let compiled = compile(&hops);
        for flow in flows {
            prop_assert_eq!(found(&look_up(&compiled, &flow)), naive(&hops, &flow));
        }
    }

    #[test]
    fn the_order_is_the_same_every_time(hops in proptest::collection::vec(any_hop(), 0..12)) {
        let compiled = compile(&hops);
        prop_assert_eq!(&compiled, &compile(&hops));
        let bytes = |entry: &Entry| (entry.key.as_bytes().to_vec(), entry.bits);
        let keys: std::collections::BTreeSet<_> = compiled.entries.iter().map(bytes).collect();
        prop_assert_eq!(keys.len(), compiled.entries.len());
        let indices = FALLBACK as usize + 1..=compiled.decisions.len();
        prop_assert!(compiled.entries.iter().all(|entry| indices.contains(&(entry.decision as usize))));
    }

    #[test]
    fn of_policies_the_first_one_that_is_met_counts(
        hops in proptest::collection::vec(any_hop(), 0..6),
        scopes in proptest::collection::vec(any_scope(), 0..6),
        members in proptest::collection::vec(proptest::collection::btree_set(0_usize..6, 0..6), 1..5),
        flows in proptest::collection::vec(any_flow(), 1..20),
    ) {
        let policies: Vec<_> = scopes.iter().cloned().map(policy).collect();
        let sets: Vec<Vec<_>> = members.into_iter().map(|set| set.into_iter().collect()).collect();
        let compiled = super::compile(&hops, &policies, &sets, true);
        for (set, members) in (0_u16..).zip(&sets) {
            for flow in &flows {
                let met = |index: &&usize| scopes.get(**index).is_some_and(|scope| scope.contains(flow));
                let (limit, layer7, half_closed, _) = naive(&hops, flow);
                let first = members.iter().find(met).and_then(|index| u32::try_from(*index).ok());
                prop_assert_eq!(
                    found(&look_up_in(&compiled, flow, set)), (limit, layer7, half_closed, first)
                );
            }
        }
    }
}
