//! Many connections, each with random pauses between what it says.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use injector_tests::Random;
use rustix::net::sockopt;

use crate::{hold, say, wait};

/// What the pauses are cut into.
const TICK: Duration = Duration::from_millis(5);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    connections: usize,
    /// Longest pause on a connection.
    #[arg(long)]
    pause_ms: u64,
    #[arg(long)]
    run_ms: u64,
    /// Switch keepalive off again once connected.
    #[arg(long)]
    without_keepalive: bool,
}

/// Talks until the time is over, says so, and stays idle until stdin ends.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut random = Random::new();
    let longest = Duration::from_millis(args.pause_ms);
    let mut connections = hold::open(args.connections)?;
    if args.without_keepalive {
        for (client, server) in &connections {
            sockopt::set_socket_keepalive(client, false)?;
            sockopt::set_socket_keepalive(server, false)?;
        }
    }
    for (client, server) in &connections {
        client.set_nonblocking(true)?;
        server.set_nonblocking(true)?;
    }
    say("talking")?;
    let started = Instant::now();
    let mut next: Vec<_> = connections.iter().map(|_| started + random.below(longest)).collect();
    while started.elapsed() < Duration::from_millis(args.run_ms) {
        let now = Instant::now();
        for ((client, server), next) in connections.iter_mut().zip(&mut next) {
            if *next > now {
                continue;
            }
            // Either end, by turns of chance.
            let (from, to) =
                if random.below(longest) < longest / 2 { (&mut *client, &mut *server) } else { (server, client) };
            from.write_all(&[1])?;
            match to.read(&mut [0; 64]) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
                _ => {}
            }
            *next = now + random.below(longest);
        }
        thread::sleep(TICK);
    }
    say("done")?;
    while wait()? {}
    Ok(())
}
