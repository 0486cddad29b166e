//! What an address may take: connections at a time, requests a second, bytes of answers a second.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

/// Connections of one address at a time.
const MAX_SHARE: usize = 32;
/// Requests of one address.
const REQUESTS: Rate = Rate { each_second: 200.0, at_once: 400.0 };
/// Bytes of answers to one address. The longest list has some 10 MB.
const BYTES: Rate = Rate { each_second: 8e6, at_once: 32e6 };
/// Where others wait for room, a connection that is as old as this gives way.
const MIN_AGE: Duration = Duration::from_secs(1);
/// Addresses that are kept before idle ones are dropped.
const MAX_KNOWN: usize = 1024;

/// A rate, and how much of it may come together.
#[derive(Clone, Copy)]
struct Rate {
    each_second: f64,
    at_once: f64,
}

/// What is left of a rate.
#[derive(Debug)]
struct Budget {
    left: f64,
    at: Instant,
}

impl Budget {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { left: rate.at_once, at: now }
    }

    /// Takes `amount` unless nothing is left. More than is left may be taken, and is paid back by time.
    fn take(&mut self, rate: Rate, amount: f64, now: Instant) -> bool {
        self.refill(rate, now);
        let is_allowed = self.left > 0.0;
        if is_allowed {
            self.left -= amount;
        }
        is_allowed
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + elapsed * rate.each_second).min(rate.at_once);
        self.at = now;
    }

    fn is_full(&mut self, rate: Rate, now: Instant) -> bool {
        self.refill(rate, now);
        self.left >= rate.at_once
    }
}

/// One address.
#[derive(Debug)]
struct Peer {
    connections: VecDeque<Connection>,
    requests: Budget,
    bytes: Budget,
}

/// A connection, the oldest first among those of an address.
#[derive(Debug)]
struct Connection {
    number: u64,
    since: Instant,
    /// Dropped to end it.
    _end: oneshot::Sender<()>,
}

/// Connections by the address at their other end.
#[derive(Clone, Debug, Default)]
pub(super) struct Peers(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    peers: HashMap<IpAddr, Peer>,
    last: u64,
}

/// One connection of an address, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    peers: Peers,
    address: IpAddr,
    number: u64,
}

impl Peers {
    /// One more for this address, unless it has its share, and a receiver that closes when it has to give way.
    pub(super) fn admit(&self, address: IpAddr, now: Instant) -> Option<(Share, oneshot::Receiver<()>)> {
        let address = counted(address);
        let mut known = self.known();
        known.last += 1;
        let number = known.last;
        known.tidy(now);
        let peer = known.peers.entry(address).or_insert_with(|| Peer {
            connections: VecDeque::new(),
            requests: Budget::full(REQUESTS, now),
            bytes: Budget::full(BYTES, now),
        });
        if peer.connections.len() >= MAX_SHARE || !peer.requests.take(REQUESTS, 1.0, now) {
            return None;
        }
        let (end, ended) = oneshot::channel();
        peer.connections.push_back(Connection { number, since: now, _end: end });
        Some((Share { peers: self.clone(), address, number }, ended))
    }

    /// Ends the oldest connection of the address that has the most, if it is old enough.
    pub(super) fn make_room(&self, now: Instant) {
        let mut known = self.known();
        let most = known.peers.values_mut().max_by_key(|peer| peer.connections.len());
        if let Some(peer) = most {
            let is_old = |one: &Connection| now.saturating_duration_since(one.since) >= MIN_AGE;
            if peer.connections.front().is_some_and(is_old) {
                peer.connections.pop_front();
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Whether the address may have an answer of so many bytes now.
    pub(super) fn spends(&self, bytes: u64, now: Instant) -> bool {
        let mut known = self.peers.known();
        #[expect(clippy::cast_precision_loss, reason = "answers are far below 2^52 bytes")]
        known.peers.get_mut(&self.address).is_none_or(|peer| peer.bytes.take(BYTES, bytes as f64, now))
    }
}

impl Known {
    /// Drops idle addresses, once there are many.
    fn tidy(&mut self, now: Instant) {
        if self.peers.len() >= MAX_KNOWN {
            self.peers.retain(|_, peer| {
                let is_new = peer.requests.is_full(REQUESTS, now) && peer.bytes.is_full(BYTES, now);
                !peer.connections.is_empty() || !is_new
            });
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(peer) = self.peers.known().peers.get_mut(&self.address) {
            peer.connections.retain(|one| one.number != self.number);
        }
    }
}

/// What counts as one address: IPv4 as itself, however it is written; of IPv6 the network that a single host has.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn an_address_has_its_share_and_no_more() {
        let (peers, now) = (Peers::default(), Instant::now());
        let admit = |text: &str| peers.admit(address(text), now);
        let mut shares: Vec<_> = (0..MAX_SHARE).filter_map(|_| admit("10.0.0.1")).collect();
        assert_eq!(shares.len(), MAX_SHARE);
        for (peer, is_admitted) in [("10.0.0.1", false), ("::ffff:10.0.0.1", false), ("10.0.0.2", true), ("::1", true)]
        {
            assert_eq!(admit(peer).is_some(), is_admitted, "{peer}");
        }
        shares.pop();
        assert!(admit("10.0.0.1").is_some());
        let network: Vec<_> = (0..40).filter_map(|host| admit(&format!("2001:db8::{host:x}"))).collect();
        assert_eq!(network.len(), MAX_SHARE);
    }

    /// SECURITY.md#clients
    #[test]
    fn rates_have_a_bound() {
        let (peers, start) = (Peers::default(), Instant::now());
        let admitted = |now| (0..1000).filter(|_| peers.admit(address("10.0.0.1"), now).is_some()).count();
        assert_eq!(admitted(start), 400);
        assert_eq!(admitted(start + Duration::from_secs(1)), 200);
        let (share, _ended) = peers.admit(address("10.0.0.2"), start).expect("another one");
        let megabytes = |now| (0..1000).filter(|_| share.spends(1_000_000, now)).count();
        assert_eq!(megabytes(start), 32);
        assert_eq!(megabytes(start + Duration::from_secs(1)), 8);
        assert!(share.spends(50_000_000, start + Duration::from_secs(2)), "an answer is whole or none");
        assert!(!share.spends(1, start + Duration::from_secs(3)));
    }

    #[test]
    fn the_oldest_of_the_greediest_gives_way() {
        let (peers, start) = (Peers::default(), Instant::now());
        let (_one, mut one_ended) = peers.admit(address("10.0.0.1"), start).expect("room");
        let (_two, mut two_ended) = peers.admit(address("10.0.0.2"), start).expect("room");
        let _three = peers.admit(address("10.0.0.2"), start + MIN_AGE).expect("room");
        peers.make_room(start + MIN_AGE / 2);
        assert!(two_ended.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        peers.make_room(start + MIN_AGE);
        assert!(two_ended.try_recv() == Err(oneshot::error::TryRecvError::Closed));
        assert!(one_ended.try_recv() == Err(oneshot::error::TryRecvError::Empty));
    }

    #[test]
    fn addresses_are_dropped_once_they_are_as_new() {
        let (peers, start) = (Peers::default(), Instant::now());
        let v4 = |bits: usize| IpAddr::V4(std::net::Ipv4Addr::from_bits(u32::try_from(bits).expect("small")));
        (0..MAX_KNOWN).for_each(|bits| drop(peers.admit(v4(bits), start)));
        assert_eq!(peers.known().peers.len(), MAX_KNOWN);
        drop(peers.admit(v4(MAX_KNOWN), start + Duration::from_secs(4)));
        assert_eq!(peers.known().peers.len(), 1);
    }
}
