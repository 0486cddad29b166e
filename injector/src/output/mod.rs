//! Writing: data to stdout, messages to stderr.

mod events;
mod findings;
mod flows;
mod format;
mod hops;
mod outlet;
mod status;
pub(crate) mod stdout;
mod table;
mod timeouts;

use std::{
    fmt::Arguments,
    io::{self, Write as _},
};

pub(crate) use events::{Event, EventWriter, Summary};
pub(crate) use findings::{findings_document, findings_report};
pub(crate) use flows::{FlowWriter, Served, Totals, served_flows};
pub use flows::{ListedFlows, flow_line, flows_document, flows_of_document};
pub use format::FlowFormat;
pub(crate) use format::{EventFormat, Format};
pub(crate) use hops::{HopReport, config_document};
pub(crate) use outlet::{Outlet, Written};
use serde::Serialize;
pub(crate) use status::{AttachmentStatus, status_document, status_report};
pub(crate) use table::Table;
pub(crate) use timeouts::{Limited, timeouts_document, timeouts_report};

use crate::{
    error::{Code, Error, is_closed_pipe},
    printable::{self, printable, printable_lines},
};

/// Writes a message to stderr, on one line. Ignores failures, as there is nowhere to report them.
pub(crate) fn message(text: Arguments<'_>) {
    drop(writeln!(io::stderr().lock(), "{}", printable(&text.to_string())));
}

/// Writes a question to stderr, and leaves its line open for the answer.
pub(crate) fn question(text: Arguments<'_>) {
    let mut stderr = io::stderr().lock();
    drop(write!(stderr, "{}", printable(&text.to_string())).and_then(|()| stderr.flush()));
}

/// Prints `error` with its causes on stderr and returns the code to exit with.
///
/// A closed stdout is no error: its reader has seen enough.
pub(crate) fn report(error: &anyhow::Error) -> Code {
    if is_closed_pipe(error) {
        return Code::Ok;
    }
    message(format_args!("injector: {error:#}"));
    Error::code_of(error)
}

/// Writes a line of data to stdout.
///
/// Errors when stdout is closed, which [`crate::error`] takes for success.
pub(crate) fn line(text: Arguments<'_>) -> Result<(), Error> {
    stdout::line(&printable(&text.to_string()))
}

/// Writes a text of several lines to stdout. The caller has made names in it [`printable`].
///
/// Errors as [`line`] does.
pub(crate) fn lines(text: &str) -> Result<(), Error> {
    stdout::line(&printable_lines(text))
}

/// Clears the screen and goes to its upper left corner.
pub(crate) fn clear_screen() -> Result<(), Error> {
    stdout::line("\x1b[2J\x1b[H")
}

/// Writes a document to stdout as indented JSON.
pub(crate) fn json_document(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    Ok(stdout::line(&printable::json(&text))?)
}
