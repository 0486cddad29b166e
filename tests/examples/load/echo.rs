//! A server that answers.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
};

use anyhow::Result;

use crate::{say, wait};

/// Enough for a thread that copies a byte.
const STACK: usize = 64 * 1024;

/// Answers on the port until stdin ends.
pub(crate) fn run(port: u16) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Without a thread there is no answer, which the client reports.
            drop(thread::Builder::new().stack_size(STACK).spawn(move || answer(stream)));
        }
    });
    say("listening")?;
    while wait()? {}
    Ok(())
}

fn answer(mut stream: TcpStream) {
    let mut byte = [0];
    while matches!(stream.read(&mut byte), Ok(1)) && stream.write_all(&byte).is_ok() {}
}
