//! Arguments of the commands about what is attached.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{EventFormat, FlowFormat, Format, HopArgs, OnConflict, Sort, Track, Warn};
use crate::{agent::Listen, client::Server, duration};

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
