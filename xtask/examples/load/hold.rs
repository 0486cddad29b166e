//! Many connections that say nothing.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::{say, wait};

/// Ports that one address of a server is good for, with room for others.
const PER_ADDRESS: usize = 20_000;
/// As many as the kernel lets one process have by default (`fs.nr_open`).
const FILES: u64 = 1 << 20;

/// Opens the connections, says so, and holds them until stdin ends.
pub(crate) fn run(connections: usize) -> Result<()> {
    let _open = open(connections)?;
    say("holding")?;
    while wait()? {}
    Ok(())
}

/// Connections over loopback, both ends of each.
pub(crate) fn open(connections: usize) -> Result<Vec<(TcpStream, TcpStream)>> {
    let files = Rlimit { current: Some(FILES), maximum: Some(FILES) };
    setrlimit(Resource::Nofile, files).context("raising the number of open files")?;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let port = listener.local_addr()?.port();
    (0..connections)
        .map(|index| {
            let address = SocketAddr::from((address(index / PER_ADDRESS)?, port));
            let client = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
            Ok((client, listener.accept()?.0))
        })
        .collect()
}

/// All of 127/8 is this host.
fn address(index: usize) -> Result<Ipv4Addr> {
    Ok(Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + u32::try_from(index)?))
}
