//! The command line: parse, run, turn the result into an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use injector::{
    cli::{Cli, commands},
    output,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match commands::run(cli) {
        Ok(code) => code.into(),
        Err(error) => output::report(&error).into(),
    }
}
