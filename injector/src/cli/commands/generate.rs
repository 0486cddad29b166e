//! What is generated from the definition of the command line.

use std::path::Path;

use crate::{
    cli::{complete, man},
    error::Code,
    output,
};

/// Prints a completion script.
pub(super) fn completions(shell: &str) -> anyhow::Result<Code> {
    let mut script = Vec::new();
    complete::registration(shell, &mut script)?;
    print(&script)
}

/// Prints the manual page of injector, or writes those of all commands.
pub(super) fn man(directory: Option<&Path>) -> anyhow::Result<Code> {
    match directory {
        Some(directory) => man::write_all(directory).map(|()| Code::Ok),
        None => print(&man::page()?),
    }
}

fn print(text: &[u8]) -> anyhow::Result<Code> {
    output::stdout::bytes(text)?;
    Ok(Code::Ok)
}
