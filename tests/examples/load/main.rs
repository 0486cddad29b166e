//! What the benchmarks measure with: connections of all kinds, and what they cost the process that has them.
//! `cargo xtask bench` runs this.
//!
//! One process has both ends wherever it can, so that its own clock sees all the work, that of the kernel included.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Result;
use clap::Parser;

mod ask;
mod chatter;
mod connect;
mod cost;
mod echo;
mod exchange;
mod hold;
mod set;

#[derive(Debug, Parser)]
enum Load {
    /// Opens connections one after the other, and closes each at once.
    Connect {
        #[arg(long)]
        count: u32,
        /// The connecting ends belong to this cgroup; the listener stays where the process was started.
        #[arg(long)]
        cgroup: PathBuf,
    },
    /// Calls `setsockopt` on a connection.
    Set {
        #[arg(long)]
        count: u32,
        /// The connecting end belongs to this cgroup.
        #[arg(long)]
        cgroup: PathBuf,
    },
    /// Opens connections and holds them until stdin ends.
    Hold {
        #[arg(long)]
        connections: usize,
    },
    /// Sends data to and fro.
    Exchange(exchange::Args),
    /// Answers on a port, byte by byte, until stdin ends.
    Echo {
        #[arg(long)]
        port: u16,
    },
    /// Opens connections, and asks on each whether it is alive when a line comes in.
    Ask {
        #[arg(long)]
        server: std::net::SocketAddr,
        #[arg(long)]
        connections: usize,
    },
    /// Says something on one of many connections at random moments.
    Chatter(chatter::Args),
}

fn main() -> ExitCode {
    let done = match Load::parse() {
        Load::Connect { count, cgroup } => connect::run(count, &cgroup),
        Load::Hold { connections } => hold::run(connections),
        Load::Set { count, cgroup } => set::run(count, &cgroup),
        Load::Exchange(args) => exchange::run(&args),
        Load::Echo { port } => echo::run(port),
        Load::Ask { server, connections } => ask::run(server, connections),
        Load::Chatter(args) => chatter::run(&args),
    };
    let Err(error) = done else { return ExitCode::SUCCESS };
    // A closed stderr leaves nowhere to report it.
    let _ = writeln!(io::stderr(), "load: {error:#}");
    ExitCode::FAILURE
}

/// Writes a line to stdout, at once.
fn say(line: impl std::fmt::Display) -> Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

/// Waits until stdin has a line or ends.
fn wait() -> Result<bool> {
    Ok(io::stdin().read_line(&mut String::new())? > 0)
}
