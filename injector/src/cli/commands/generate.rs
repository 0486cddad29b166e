//! What is generated from the definition of the command line.

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::{cli::Cli, error::Code, output};

/// Prints a completion script.
pub(super) fn completions(shell: Shell) -> anyhow::Result<Code> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "injector", &mut script);
    print(&script)
}

/// Prints the manual: the page of the command, then those of its subcommands.
pub(super) fn man() -> anyhow::Result<Code> {
    let mut command = Cli::command();
    command.build();
    let mut pages = Vec::new();
    Man::new(command.clone()).render(&mut pages)?;
    for subcommand in command.get_subcommands().filter(|one| one.get_name() != "help") {
        Man::new(subcommand.clone()).render(&mut pages)?;
    }
    print(&pages)
}

fn print(text: &[u8]) -> anyhow::Result<Code> {
    output::stdout::bytes(text)?;
    Ok(Code::Ok)
}
