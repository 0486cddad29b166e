//! stdout: the one place that writes there.
//!
//! Errors name what could not be written to. A reader that has gone is an error of its own, which nothing else causes:
//! a server that closes its connection is not mistaken for it.

use std::io::{self, BufWriter, StdoutLock, Write};

use rustix::termios::tcgetwinsize;

use crate::error::Error;

/// Writes all of `bytes`, and waits until they are out.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(error)
}

/// Writes a line, as [`bytes`] does.
pub(super) fn line(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(error)
}

/// Columns of the terminal that stdout leads to; `None` where it is no terminal.
pub(crate) fn columns() -> Option<usize> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    Some(size.ws_col.into()).filter(|&columns| columns > 0)
}

/// Lines that are written together, as many as there is room for.
#[derive(Debug)]
pub(super) struct Lines(BufWriter<StdoutLock<'static>>);

impl Lines {
    /// None yet. Other writers to stdout wait until it is dropped.
    pub(super) fn new() -> Self {
        Self(BufWriter::new(io::stdout().lock()))
    }

    pub(super) fn line(&mut self, text: &str) -> Result<(), Error> {
        writeln!(self.0, "{text}").map_err(error)
    }

    /// Writes what still waits.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.0.flush().map_err(error)
    }
}

fn error(cause: io::Error) -> Error {
    let cure = match cause.kind() {
        io::ErrorKind::BrokenPipe => return Error::StdoutClosed,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free space where it leads to, or redirect it elsewhere"
        }
        io::ErrorKind::FileTooLarge => "raise the limit of file sizes (`ulimit -f`), or redirect it elsewhere",
        io::ErrorKind::WouldBlock => "it is non-blocking and full: give injector a pipe of its own (`| cat`)",
        _ => "redirect it elsewhere",
    };
    Error::Stdout { cause, cure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_thing_cause_and_cure() {
        assert!(matches!(error(io::ErrorKind::BrokenPipe.into()), Error::StdoutClosed));
        for errno in [libc::ENOSPC, libc::EDQUOT, libc::EFBIG, libc::EAGAIN, libc::EIO] {
            let text = error(io::Error::from_raw_os_error(errno)).to_string();
            assert!(text.starts_with("writing to stdout: ") && text.contains("; "), "{text}");
        }
    }
}
