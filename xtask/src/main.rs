//! The project's own commands: `cargo xtask --help` lists them.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod bpf;
mod cargo;
mod demo;
mod deploy;
mod docs;
mod ebpf;
mod fuzz;
mod image;
mod injector;
mod lint;
mod run;
mod say;
mod setup;
mod test;
mod vm;
mod words;
mod workspace;

/// Builds, checks, tests and shows injector.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bench(bench::Args),
    Demo(demo::Args),
    Deploy(deploy::Args),
    Ebpf(ebpf::Args),
    Fuzz(fuzz::Args),
    Image(image::Args),
    Lint(lint::Args),
    Setup(setup::Args),
    Test(test::Args),
    Vm(vm::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Bench(args) => bench::run(&args),
        Command::Demo(demo::Args {}) => demo::run(),
        Command::Deploy(args) => deploy::run(&args),
        Command::Ebpf(args) => ebpf::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Image(args) => image::run(&args),
        Command::Lint(args) => lint::run(&args),
        Command::Setup(setup::Args {}) => setup::run(),
        Command::Test(args) => test::run(&args),
        Command::Vm(args) => vm::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::error(&error);
            ExitCode::FAILURE
        }
    }
}
