//! Arguments of the commands about hops, files and settings.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use clap_complete::{ArgValueCompleter, PathCompleter};

use super::{FileFormat, HOPS};
use crate::{
    advice::recommend,
    cli::complete,
    hop::{Hop, HopArg},
    output::Format,
    rules::values::Discover,
    units,
};

/// Where the hops on the path of the flows are configured.
#[derive(Clone, Debug, Default, Args)]
pub struct HopArgs {
    /// A hop that drops idle connections; repeat for each.
    #[arg(long = "hop", value_name = "NAME=KIND[:TIMEOUT][@PREFIX[:PORT]]", value_parser = HopArg::parse_hop,
          help_heading = HOPS, add = ArgValueCompleter::new(complete::hops))]
    pub hops: Vec<Hop>,
    /// Configuration file; a --hop takes the place of the file's hop of that name.
    #[arg(short = 'f', long, value_name = "FILE", help_heading = HOPS, add = ArgValueCompleter::new(PathCompleter::file()))]
    pub config: Option<PathBuf>,
    /// Ask the cloud for hops, too; those named by --hop and --config stay [default: none].
    #[arg(long, value_enum, value_name = "CLOUD", help_heading = HOPS)]
    pub discover: Option<Discover>,
}

/// Arguments of `timeouts`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  injector timeouts --hop eni=eni --hop db=nlb-tcp:1800s@10.0.9.0/24:5432
  injector timeouts --config /etc/injector/config.toml -o json")]
pub(crate) struct Timeouts {
    /// The hops.
    #[command(flatten)]
    pub hops: HopArgs,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  injector check --hop eni=eni:350s --hop lb=nlb-tcp:1800s
  injector check --config /etc/injector/config.toml -o json")]
pub(crate) struct Check {
    /// The hops.
    #[command(flatten)]
    pub hops: HopArgs,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// What to do with a configuration file.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a file, and report mistakes with their line and column.
    Check {
        /// The file.
        #[arg(add = ArgValueCompleter::new(PathCompleter::file()))]
        file: PathBuf,
    },
    /// Print the effective configuration, with defaults and the source of each value.
    Show {
        /// The file.
        #[arg(add = ArgValueCompleter::new(PathCompleter::file()))]
        file: PathBuf,
        /// Output format.
        #[arg(short, long, value_enum, default_value_t)]
        output: FileFormat,
    },
    /// Print a file to start from, with every key explained.
    Default,
}

/// Arguments of `recommend`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  injector recommend --for sysctl | tee /etc/sysctl.d/60-tcp-keepalive.conf
  injector recommend --for cloudformation --timeout 20m > timeouts.yaml")]
pub(crate) struct Recommend {
    /// What the settings are for.
    #[arg(long = "for", value_enum, value_name = "TARGET")]
    pub target: recommend::Target,
    /// Idle timeout to beat; for the AWS targets, what the hops are set to [default: that of the hop that expires first, or 350s].
    #[arg(long, value_name = "DURATION", value_parser = units::parse)]
    pub timeout: Option<Duration>,
    /// The hops on the path.
    #[command(flatten)]
    pub hops: HopArgs,
}
