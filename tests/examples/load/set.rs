//! Calls of `setsockopt` on a connection.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::net::sockopt;
use serde::Serialize;

use crate::{
    cost::{self, Cost},
    say,
};

/// What as many calls cost.
#[derive(Debug, Serialize)]
struct Costs {
    /// Of an option that injector ignores.
    other: Cost,
    /// Of one of keepalive, with a value that stands.
    keepalive: Cost,
}

/// Makes the calls on a connection whose connecting end belongs to the cgroup, and says what they cost.
pub(crate) fn run(count: u32, cgroup: &Path) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let procs = cgroup.join("cgroup.procs");
    fs::write(&procs, "0").with_context(|| format!("writing {}", procs.display()))?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let _server = listener.accept()?;
    let other = |count| repeat(count, || sockopt::set_tcp_nodelay(&client, true));
    let keepalive = |count| repeat(count, || sockopt::set_tcp_keepidle(&client, Duration::from_secs(60)));
    other(count / 10)?;
    keepalive(count / 10)?;
    let costs = Costs { other: cost::of(|| other(count))?, keepalive: cost::of(|| keepalive(count))? };
    say(serde_json::to_string(&costs)?)
}

fn repeat(count: u32, call: impl Fn() -> rustix::io::Result<()>) -> Result<()> {
    for _ in 0..count {
        call()?;
    }
    Ok(())
}
