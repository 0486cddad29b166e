//! Names that no other test uses.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A name such as `injtest-4711-3-client`, unique on this machine while this process lives.
pub fn unique_name(role: &str) -> String {
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("injtest-{}-{number}-{role}", std::process::id())
}

/// A loopback address, of those that all of 127.0.0.0/8 are, that no other test uses.
pub fn unique_address(port: u16) -> SocketAddr {
    // At most 22 bits, and 127.0.0.1 is shared by all.
    let address = 0x7f40_0000 + (std::process::id() & 0x003f_ffff);
    SocketAddr::new(Ipv4Addr::from_bits(address).into(), port)
}
