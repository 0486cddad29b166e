//! The command line as typed. What it means is decided in
//! [`crate::rules::settings`] and [`crate::cli::commands`].

mod args;
pub(crate) mod commands;
mod complete;
mod man;
pub(crate) mod remote;

use std::{
    env,
    io::{self, IsTerminal as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::{ArgValueCompleter, PathCompleter};

pub(crate) use self::args::{
    Adopt, Attach, AttachmentArgs, Check, ConfigCommand, Detach, Doctor, FileFormat, Flows, HopArgs, Recommend, Run,
    Sort, Status, Timeouts,
};

use crate::{
    attachment::proof,
    error::Code,
    output::{self, stdout},
};

/// Parses the command line, runs it, and turns the result into an exit code.
pub fn main() -> ExitCode {
    if let Some(code) = proof::child() {
        return code;
    }
    complete::answer();
    match run() {
        Ok(code) => code.into(),
        Err(error) => output::report(&error).into(),
    }
}

/// The definition of the command line, from which completions, manual pages and documentation follow.
pub fn command() -> clap::Command {
    Cli::command()
}

fn run() -> anyhow::Result<Code> {
    match Cli::try_parse() {
        Ok(cli) => commands::run(cli),
        Err(error) if error.use_stderr() => {
            drop(error.print());
            Ok(Code::Usage)
        }
        // The help and the version are data, as anything on stdout.
        Err(asked) => {
            let text = asked.render();
            let is_coloured =
                io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            let text = if is_coloured { text.ansi().to_string() } else { text.to_string() };
            stdout::bytes(text.as_bytes())?;
            Ok(Code::Ok)
        }
    }
}

/// Keeps idle TCP connections alive, and reports those close to their idle timeout.
///
/// Clouds drop TCP connections that are idle for too long, usually 350s.
/// injector sets keepalive on every new TCP socket of a cgroup, with no change
/// to the applications in it, and reports the flows that still come close to
/// the limit.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, propagate_version = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// More messages on stderr; twice for the BPF programs' own log.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

const EXIT_CODES: &str = "\
Exit codes: 0 ok, 1 failure, 2 usage, 3 unsupported host, 4 missing privilege, \
5 findings (`flows --at-risk --fail`, `doctor`, `check`).";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Attach to a cgroup and watch its flows.
    Attach(Attach),
    /// Run as an agent: attach to the cgroups of a file, watch them, serve metrics.
    Run(Run),
    /// List flows, with the time each has left.
    Flows(Flows),
    /// Show attachments, the outcomes of their sockets, and the idle times of their flows.
    Status(Status),
    /// Take over connections that were opened before injector was attached.
    Adopt(Adopt),
    /// Detach injector from a cgroup.
    Detach(Detach),
    /// Check whether this host has what injector needs.
    Doctor(Doctor),
    /// List hops, with the keepalive that each needs.
    Timeouts(Timeouts),
    /// Find timeouts that conflict along the path of the flows.
    Check(Check),
    /// Check, show or start a configuration file.
    Config {
        /// What to do with it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print keepalive settings for places without eBPF.
    Recommend(Recommend),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        #[arg(value_parser = ["bash", "elvish", "fish", "powershell", "zsh"])]
        shell: String,
    },
    /// Print the manual page (roff), or write the pages of all commands to files.
    Man {
        /// Where to write them.
        #[arg(value_name = "DIRECTORY", add = ArgValueCompleter::new(PathCompleter::dir()))]
        directory: Option<PathBuf>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    /// SECURITY.md#listening
    #[test]
    fn an_agent_listens_to_this_host_alone() {
        let Command::Run(run) = Cli::parse_from(["injector", "run", "--config", "x"]).command else {
            unreachable!("run was asked for");
        };
        assert!(matches!(run.listen, crate::agent::Listen::Tcp(address) if address.ip().is_loopback()));
    }
}
