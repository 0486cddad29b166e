//! Who has how many connections.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Connections of one address at a time.
const MAX_SHARE: u32 = 32;

/// Connections by the address at their other end. Has an entry for no more
/// addresses than there are connections.
#[derive(Debug, Default)]
pub(super) struct Peers(Arc<Mutex<HashMap<IpAddr, u32>>>);

/// One connection of an address, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    peers: Peers,
    address: IpAddr,
}

impl Peers {
    /// One more for this address, unless it has its share.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Share> {
        let address = address.to_canonical();
        let mut counts = self.counts();
        let count = counts.entry(address).or_default();
        (*count < MAX_SHARE).then(|| {
            *count += 1;
            Share { peers: Self(Arc::clone(&self.0)), address }
        })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.peers.counts();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_no_more() {
        let address = |text: &str| text.parse::<IpAddr>().expect(text);
        let peers = Peers::default();
        let mut shares: Vec<_> = (0..MAX_SHARE).filter_map(|_| peers.admit(address("10.0.0.1"))).collect();
        assert_eq!(shares.len(), MAX_SHARE as usize);
        for (peer, is_admitted) in [("10.0.0.1", false), ("::ffff:10.0.0.1", false), ("10.0.0.2", true), ("::1", true)]
        {
            assert_eq!(peers.admit(address(peer)).is_some(), is_admitted, "{peer}");
        }
        assert_eq!(peers.counts().len(), 1, "who has left is forgotten");
        shares.pop();
        assert!(peers.admit(address("10.0.0.1")).is_some());
        drop(shares);
        assert_eq!(peers.counts().len(), 0);
    }
}
