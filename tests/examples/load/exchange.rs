//! Round trips and bulk transfer over one or many connections.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{IpAddr, TcpListener, TcpStream},
    os::fd::AsFd as _,
    path::PathBuf,
    thread,
};

use anyhow::{Context as _, Result, anyhow};
use rustix::thread::{CpuSet, LinkNameSpaceType, move_into_link_name_space, sched_getcpu, sched_setaffinity};
use serde_json::json;

use crate::{cost, say};

/// What is sent at once in bulk.
const CHUNK: usize = 64 * 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The server's address.
    #[arg(long)]
    server: IpAddr,
    /// The server's network namespace; that of the client by default.
    #[arg(long)]
    netns: Option<PathBuf>,
    /// How many connections of each sort, one sort after the other.
    #[arg(long, value_delimiter = ',')]
    connections: Vec<usize>,
    /// Round trips, over all connections.
    #[arg(long)]
    round_trips: usize,
    /// Chunks of 64 KiB, over all connections.
    #[arg(long)]
    chunks: usize,
}

/// Runs the loads, and says what each cost, on a line each.
///
/// All on one processor: where the kernel puts two threads makes more of a difference than anything measured here.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut one = CpuSet::new();
    one.set(sched_getcpu());
    sched_setaffinity(None, &one)?;
    for &connections in &args.connections {
        let (clients, servers) = connect(args, connections)?;
        let loads = [("round trips", 1, args.round_trips), ("bulk", CHUNK, args.chunks)];
        for (load, size, count) in loads {
            let rounds = count / connections;
            // First a tenth, so that caches and congestion windows are warm.
            exchange(&clients, &servers, size, rounds / 10)?;
            let cost = cost::of(|| exchange(&clients, &servers, size, rounds))?;
            say(json!({"load": load, "connections": connections, "cost": cost}))?;
        }
    }
    Ok(())
}

fn connect(args: &Args, count: usize) -> Result<(Vec<TcpStream>, Vec<TcpStream>)> {
    let listener = thread::scope(|scope| joined(scope.spawn(|| listen(args))))?;
    let address = listener.local_addr()?;
    let mut pairs = Vec::new();
    for _ in 0..count {
        let client = TcpStream::connect(address)?;
        let (server, _) = listener.accept()?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        pairs.push((client, server));
    }
    Ok(pairs.into_iter().unzip())
}

/// A socket belongs to the network namespace of the thread that makes it.
fn listen(args: &Args) -> Result<TcpListener> {
    if let Some(path) = &args.netns {
        let netns = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
    }
    Ok(TcpListener::bind((args.server, 0))?)
}

/// Each round the client writes on all connections, and the server answers each with one byte.
fn exchange(clients: &[TcpStream], servers: &[TcpStream], size: usize, rounds: usize) -> Result<()> {
    thread::scope(|scope| {
        let server = scope.spawn(move || serve(servers, size, rounds));
        let client = ask(clients, size, rounds);
        joined(server).and(client)
    })
}

fn ask(clients: &[TcpStream], size: usize, rounds: usize) -> Result<()> {
    let chunk = vec![1; size];
    for _ in 0..rounds {
        for mut client in clients {
            client.write_all(&chunk)?;
        }
        for mut client in clients {
            client.read_exact(&mut [0])?;
        }
    }
    Ok(())
}

fn serve(servers: &[TcpStream], size: usize, rounds: usize) -> Result<()> {
    let mut chunk = vec![0; size];
    for _ in 0..rounds {
        for mut server in servers {
            server.read_exact(&mut chunk)?;
            server.write_all(&[1])?;
        }
    }
    Ok(())
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a thread panicked"))?
}
