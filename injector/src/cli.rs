//! The command line as typed. What it means is decided in
//! [`crate::settings`] and [`crate::commands`].

use std::{
    fmt::{self, Display, Formatter},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    agent::Listen,
    client::Server,
    duration,
    hop::{Hop, HopArg},
    recommend,
};

/// Keeps idle TCP connections alive, and tells which come near their end.
///
/// Clouds forget TCP connections that are idle for too long, 350 s as a rule.
/// injector sets keepalive on every new TCP socket of a cgroup, with no change
/// to the applications in it, and reports the flows that come near the limit
/// all the same.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Say more on stderr; twice for the BPF programs' own messages.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

const EXIT_CODES: &str = "\
Exit codes: 0 ok, 1 failure, 2 usage, 3 unsupported host, 4 missing privilege, \
5 findings (`flows --at-risk --fail`, `doctor`, `check`).";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Attach to a cgroup and watch its flows.
    Attach(Attach),
    /// Run as an agent: attach to the cgroups of a file, watch them, serve metrics.
    Run(Run),
    /// List flows, with the time each has left.
    Flows(Flows),
    /// Show what is attached, what became of its sockets, and how idle its flows are.
    Status(Status),
    /// Take over connections that were there before injector was attached.
    Adopt(Adopt),
    /// Take injector off a cgroup again.
    Detach(Detach),
    /// Check whether this host has what injector needs.
    Doctor(Doctor),
    /// List hops, with the keepalive that each asks for.
    Timeouts(Timeouts),
    /// Find timeouts that don't fit each other, along the way of the flows.
    Check(Check),
    /// Check, show or start a configuration file.
    Config {
        /// What to do with it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print settings for a place where no eBPF runs.
    Recommend(Recommend),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff).
    Man,
}

/// Arguments of `attach`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  injector attach --cgroup system.slice/legacy.service
  injector attach --cgroup / --timeout 350s --for 10m
  injector attach --cgroup /sys/fs/cgroup/kubepods.slice --detach")]
pub struct Attach {
    /// cgroup v2 directory, or a path relative to the cgroup v2 mount (`/` is its root).
    #[arg(long, value_name = "PATH", required_unless_present = "config")]
    pub cgroup: Option<PathBuf>,
    /// Name of the attachment [default: from the cgroup's path].
    #[arg(long)]
    pub name: Option<String>,
    /// Idle timeout of flows that no hop is known for [default: 350s].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub timeout: Option<Duration>,
    /// The hops on the way.
    #[command(flatten)]
    pub hops: HopArgs,
    /// Time between two questions of --discover, unless --detach, which asks once [default: 5m].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub discover_interval: Option<Duration>,
    /// Silence before the first probe, `TCP_KEEPIDLE` [default: from --timeout; 240s for 350s].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub idle: Option<Duration>,
    /// Time between unanswered probes, `TCP_KEEPINTVL` [default: from --timeout; 30s for 350s].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub interval: Option<Duration>,
    /// Unanswered probes before a connection is given up, `TCP_KEEPCNT` [default: 9].
    #[arg(long, value_name = "N")]
    pub probes: Option<u32>,
    /// Also set `TCP_USER_TIMEOUT`, which then decides when a connection is given up.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub user_timeout: Option<Duration>,
    /// What becomes of an application's own keepalive calls [default: respect].
    #[arg(long, value_enum)]
    pub on_conflict: Option<OnConflict>,
    /// Where idle times come from [default: sockets].
    #[arg(long, value_enum)]
    pub track: Option<Track>,
    /// Take over the connections that are there already, too.
    #[arg(long)]
    pub existing: bool,
    /// Idle time from which a flow is reported: a share of the limit, or a duration [default: 80%].
    #[arg(long, value_name = "PERCENT|DURATION")]
    pub warn: Option<Warn>,
    /// End by itself after this time.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    pub run_for: Option<Duration>,
    /// Attach and exit; the programs go on working until `injector detach`.
    #[arg(long, conflicts_with_all = ["run_for", "keep"])]
    pub detach: bool,
    /// Leave the programs working at the end.
    #[arg(long)]
    pub keep: bool,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: EventFormat,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  injector run --config /etc/injector/config.toml
  injector run --config /etc/injector/config.toml --listen unix:/run/injector.sock")]
pub struct Run {
    /// Configuration file; read again when it changes, and on SIGHUP.
    #[arg(long, value_name = "FILE", default_value = "/etc/injector/config.toml")]
    pub config: PathBuf,
    /// Where to serve metrics, flows and the status page, read-only.
    #[arg(long, value_name = "ADDRESS:PORT|unix:PATH", default_value = "127.0.0.1:9435")]
    pub listen: Listen,
}

/// Arguments of `flows`.
#[derive(Debug, Args)]
pub struct Flows {
    /// Only flows of this attachment.
    #[command(flatten)]
    pub target: Target,
    /// Ask the agent at this address, `http://127.0.0.1:9435`, or behind this socket.
    #[arg(long, value_name = "URL|SOCKET", conflicts_with_all = ["cgroup", "name"])]
    pub server: Option<Server>,
    /// Only flows at risk, overdue or stalled.
    #[arg(long)]
    pub at_risk: bool,
    /// Exit with 5 when there are any flows at risk, overdue or stalled.
    #[arg(long)]
    pub fail: bool,
    /// Order of the list [default: as the kernel has them].
    #[arg(long, value_enum)]
    pub sort: Option<Sort>,
    /// List at most this many.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// List again and again.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true,
          default_missing_value = "2s", value_parser = duration::parse)]
    pub watch: Option<Duration>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: FlowFormat,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Arguments of `adopt`.
#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = false, args = ["cgroup", "name"])]
pub struct Adopt {
    /// The attachment that takes them over.
    #[command(flatten)]
    pub target: Target,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: EventFormat,
}

/// Arguments of `detach`.
#[derive(Debug, Args)]
pub struct Detach {
    /// What to detach.
    #[command(flatten)]
    pub target: Target,
    /// Everything that injector has attached on this host.
    #[arg(long, conflicts_with_all = ["cgroup", "name"], required_unless_present_any = ["cgroup", "name"])]
    pub all: bool,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// cgroup whose other BPF programs to list.
    #[arg(long, value_name = "PATH", default_value = "/")]
    pub cgroup: PathBuf,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Where the hops on the way of the flows are told.
#[derive(Clone, Debug, Default, Args)]
pub struct HopArgs {
    /// A hop that forgets idle flows; again for each.
    #[arg(long = "hop", value_name = "NAME=KIND[:TIMEOUT][@PREFIX[:PORT]]", value_parser = HopArg::parse_hop)]
    pub hops: Vec<Hop>,
    /// Configuration file; a --hop takes the place of the file's hop of that name.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Ask the cloud for hops, too; those named by --hop and --config stay [default: none].
    #[arg(long, value_enum, value_name = "CLOUD")]
    pub discover: Option<Discover>,
}

/// Who is asked for hops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Discover {
    /// Nobody, whatever the file says.
    #[default]
    None,
    /// Amazon Web Services: network interfaces of this instance, and Network Load Balancers.
    Aws,
}

/// Arguments of `timeouts`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  injector timeouts --hop eni=eni --hop db=nlb-tcp:1800s@10.0.9.0/24:5432
  injector timeouts --config /etc/injector.toml -o json")]
pub struct Timeouts {
    /// The hops.
    #[command(flatten)]
    pub hops: HopArgs,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  injector check --hop eni=eni:350s --hop lb=nlb-tcp:1800s
  injector check --config /etc/injector.toml -o json")]
pub struct Check {
    /// The hops.
    #[command(flatten)]
    pub hops: HopArgs,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// What to do with a configuration file.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether a file is right, and what is wrong where.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Print what a file comes to, defaults and the sources of values included.
    Show {
        /// The file.
        file: PathBuf,
        /// Form of the output.
        #[arg(short, long, value_enum, default_value_t)]
        output: FileFormat,
    },
    /// Print a file to start from, with every key explained.
    Default,
}

/// Forms of a configuration.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum FileFormat {
    /// A file again.
    #[default]
    Toml,
    /// For programs.
    Json,
}

/// Arguments of `recommend`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  injector recommend --for sysctl | tee /etc/sysctl.d/60-tcp-keepalive.conf
  injector recommend --for cloudformation --timeout 20m > timeouts.yaml")]
pub struct Recommend {
    /// What the settings are for.
    #[arg(long = "for", value_enum, value_name = "TARGET")]
    pub target: recommend::Target,
    /// Idle timeout to beat; for the AWS targets, what the hops are set to [default: that of the hop that forgets first, or 350s].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub timeout: Option<Duration>,
    /// The hops on the way.
    #[command(flatten)]
    pub hops: HopArgs,
}

/// One attachment, or none in particular.
#[derive(Debug, Args)]
pub struct Target {
    /// The attachment to this cgroup.
    #[arg(long, value_name = "PATH", conflicts_with = "name")]
    pub cgroup: Option<PathBuf>,
    /// The attachment of this name.
    #[arg(long)]
    pub name: Option<String>,
}

/// From when on to warn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warn {
    /// Share of the limit.
    Percent(u32),
    /// Idle time.
    Idle(Duration),
}

/// The form that [`FromStr`] reads.
impl Display for Warn {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(formatter, "{percent}%"),
            Self::Idle(idle) => formatter.write_str(&duration::exact(*idle)),
        }
    }
}

impl FromStr for Warn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_suffix('%') {
            Some(number) => {
                number.parse().map(Self::Percent).map_err(|_| format!("{text:?} is no share: write 80% or a duration"))
            }
            None => duration::parse(text).map(Self::Idle),
        }
    }
}

/// Whose word counts when an application sets keepalive itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnConflict {
    /// The application's; what leaves a flow without protection is reported.
    #[default]
    Respect,
    /// The stricter one.
    Tighten,
    /// The policy's.
    Enforce,
}

/// What tells when a flow was last active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Track {
    /// The sockets' own timestamps.
    #[default]
    Sockets,
    /// Every packet as well, which also tells who probes and who answers; costs time per packet (Linux 5.11).
    Packets,
}

/// Orders of a list of flows.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Sort {
    /// Least time left first.
    Remaining,
    /// Longest idle first.
    Idle,
    /// Oldest first.
    Opened,
}

/// Forms of a report.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// Forms of a stream of events.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum EventFormat {
    /// A line per event, for people.
    #[default]
    Table,
    /// A JSON object per event.
    Jsonl,
}

/// Forms of a list of flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FlowFormat {
    /// A line per flow.
    #[default]
    Table,
    /// The same with more columns.
    Wide,
    /// One JSON document.
    Json,
    /// A JSON object per flow.
    Jsonl,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn warn_marks() {
        assert_eq!("80%".parse(), Ok(Warn::Percent(80)));
        assert_eq!("5m".parse(), Ok(Warn::Idle(Duration::from_secs(300))));
        for text in ["%", "x%", "-1%", "", "soon"] {
            assert!(text.parse::<Warn>().is_err(), "{text}");
        }
    }
}
