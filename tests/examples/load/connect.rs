//! Connections that are closed as soon as they are there.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::net::sockopt;

use crate::{cost, say};

/// Runs the load, and says what it cost.
pub(crate) fn run(count: u32, cgroup: &Path) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // A preloaded library may have switched it on. Accepted sockets would inherit it, and only one end is to count.
    sockopt::set_socket_keepalive(&listener, false)?;
    let procs = cgroup.join("cgroup.procs");
    fs::write(&procs, "0").with_context(|| format!("writing {}", procs.display()))?;
    let address = listener.local_addr()?;
    open_and_close(&listener, address, count / 10)?;
    let cost = cost::of(|| open_and_close(&listener, address, count))?;
    say(serde_json::to_string(&cost)?)
}

/// The connection is up before it is accepted, so that one thread serves both ends.
fn open_and_close(listener: &TcpListener, address: SocketAddr, count: u32) -> Result<()> {
    for _ in 0..count {
        let client = TcpStream::connect(address)?;
        let (server, _) = listener.accept()?;
        // A reset leaves no TIME_WAIT, of which there would soon be too many.
        sockopt::set_socket_linger(&client, Some(Duration::ZERO))?;
        drop((client, server));
    }
    Ok(())
}
