//! Messages to the person at the terminal.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

/// Says what is being done or what came out of it.
pub(crate) fn info(message: impl Display) {
    line(format_args!("xtask: {message}"));
}

/// Says why the command failed, with the chain of causes.
pub(crate) fn error(error: &anyhow::Error) {
    line(format_args!("xtask: error: {error:#}"));
}

/// Writes to stdout what the command was run for.
pub(crate) fn result(text: impl Display) -> io::Result<()> {
    write!(io::stdout().lock(), "{text}")
}

fn line(message: impl Display) {
    // A closed stderr leaves nowhere to report it.
    let _ = writeln!(io::stderr().lock(), "{message}");
}
