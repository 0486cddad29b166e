//! Connections that say nothing.

use std::net::{TcpListener, TcpStream};

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{say, wait};

/// Opens the connections, says so, and holds them until stdin ends.
pub(crate) fn run(connections: usize) -> Result<()> {
    let _open = open(connections)?;
    say("holding")?;
    while wait()? {}
    Ok(())
}

/// Connections over loopback, both ends of each.
pub(crate) fn open(connections: usize) -> Result<Vec<(TcpStream, TcpStream)>> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).context("raising the number of open files")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    (0..connections)
        .map(|index| {
            let client = TcpStream::connect(address).with_context(|| format!("connection {index}"))?;
            Ok((client, listener.accept()?.0))
        })
        .collect()
}
