//! The subcommands, one file each.

mod adopt;
mod ask;
mod attach;
mod check;
mod config;
mod detach;
mod doctor;
mod events;
mod flows;
mod generate;
mod hops;
mod recommend;
mod run;
mod session;
mod status;
mod target;
mod timeouts;

use crate::{
    cli::{Cli, Command},
    error::Code,
    host::{descriptors, logging},
};

/// Runs the command.
pub(crate) fn run(cli: Cli) -> anyhow::Result<Code> {
    // The agent's configuration file decides on the log's format.
    if !matches!(cli.command, Command::Run(_)) {
        logging::init(cli.verbose);
    }
    // Commands on all attachments have them all open.
    descriptors::lift_limit();
    match cli.command {
        Command::Attach(args) => attach::run(&args, cli.verbose),
        Command::Run(args) => run::run(args, cli.verbose),
        Command::Flows(args) => flows::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Adopt(args) => adopt::run(&args),
        Command::Detach(args) => detach::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Timeouts(args) => timeouts::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Config { command } => config::run(&command),
        Command::Recommend(args) => recommend::run(&args),
        Command::Completions { shell } => generate::completions(&shell),
        Command::Man { directory } => generate::man(directory.as_deref()),
    }
}
