//! Writing: data to stdout, messages to stderr.

mod events;
mod findings;
mod flows;
mod format;
mod hops;
mod outlet;
mod status;
mod table;
mod timeouts;

use std::{
    fmt::Arguments,
    io::{self, Write as _},
};

pub use events::{Event, EventWriter, Summary};
pub use findings::{findings_document, findings_report};
pub use flows::{FlowWriter, Listed, Totals, flows_document, flows_of_document, served_flows};
pub use format::{EventFormat, FlowFormat, Format};
pub use hops::{HopReport, config_document};
pub use outlet::Outlet;
use serde::Serialize;
pub use status::{AttachmentStatus, status_document, status_report};
pub use table::Table;
pub use timeouts::{Limited, timeouts_document, timeouts_report};

use crate::error::{Code, Error, is_closed_pipe};

/// Writes a message to stderr. There is nobody to tell when that fails.
pub fn message(text: Arguments<'_>) {
    drop(writeln!(io::stderr().lock(), "{}", tame(&text.to_string())));
}

/// Prints `error` with its causes on stderr and returns the code to exit with.
///
/// A closed stdout is no error: its reader has seen enough.
pub fn report(error: &anyhow::Error) -> Code {
    if is_closed_pipe(error) {
        return Code::Ok;
    }
    message(format_args!("injector: {error:#}"));
    Error::code_of(error)
}

/// Writes lines of data to stdout.
///
/// Errors when stdout is closed, which [`crate::error`] takes for success.
pub fn line(text: Arguments<'_>) -> io::Result<()> {
    whole(format_args!("{}", tame(&text.to_string())))
}

/// Clears the screen and goes to its upper left corner.
pub fn clear_screen() -> io::Result<()> {
    whole(format_args!("\x1b[2J\x1b[H"))
}

/// Processes, cgroups and servers choose names, control characters included: no name rules the terminal.
fn tame(text: &str) -> String {
    text.chars().map(|char| if char.is_control() && !matches!(char, '\n' | '\t') { '?' } else { char }).collect()
}

fn whole(text: Arguments<'_>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Writes a document to stdout as indented JSON.
pub fn json_document(value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    whole(format_args!("{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_not_rule_the_terminal() {
        assert_eq!(tame("a\x1b[31mb\r\u{9b}2J\n\tc"), "a?[31mb??2J\n\tc");
    }
}
