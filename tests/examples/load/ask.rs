//! Connections that are asked whether they are alive.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::{say, wait};

/// For an answer on an idle connection, retransmissions included.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(20);

/// Opens the connections, then says how many of them are alive each time a line comes in.
pub(crate) fn run(server: SocketAddr, count: usize) -> Result<()> {
    let mut connections = (0..count)
        .map(|_| {
            let connection = TcpStream::connect_timeout(&server, PATIENCE)?;
            connection.set_nonblocking(true)?;
            Ok(connection)
        })
        .collect::<Result<Vec<_>>>()?;
    ensure!(alive(&mut connections) == count, "not all connections work to begin with");
    say("connected")?;
    while wait()? {
        say(alive(&mut connections))?;
    }
    Ok(())
}

/// Says something on all of them, and counts the answers.
fn alive(connections: &mut [TcpStream]) -> usize {
    // One that takes nothing is dead, and will not answer.
    let mut asked: Vec<_> =
        connections.iter_mut().filter_map(|stream| stream.write_all(&[1]).ok().map(|()| stream)).collect();
    let (total, started) = (asked.len(), Instant::now());
    let mut dead = 0;
    while !asked.is_empty() && started.elapsed() < PATIENCE {
        asked.retain_mut(|stream| match stream.read(&mut [0]) {
            Ok(1) => false,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => true,
            _ => {
                dead += 1;
                false
            }
        });
        thread::sleep(PAUSE);
    }
    total - asked.len() - dead
}
