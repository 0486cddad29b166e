//! Arguments of the commands about what is attached.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use clap_complete::{ArgValueCandidates, ArgValueCompleter, PathCompleter};

use super::{HOPS, HopArgs, KEEPALIVE, LIFETIME, Sort, WATCHING};
use crate::{
    agent::Listen,
    cli::{complete, remote::Server},
    output::{EventFormat, FlowFormat, Format},
    rules::{
        settings::Settings,
        values::{OnConflict, Track, Warn},
    },
    units,
};

/// Arguments of `attach`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  injector attach                                   # this session's own cgroup
  injector attach system.slice/legacy.service
  injector attach / --timeout 350s --for 10m
  injector attach /sys/fs/cgroup/kubepods.slice --detach")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Attach {
    /// cgroup v2 directory, or a path relative to the cgroup v2 mount (`/` is its root) [default: the file's, or the
    /// cgroup that this process runs in].
    #[arg(value_name = "PATH", add = ArgValueCompleter::new(complete::cgroups))]
    pub path: Option<PathBuf>,
    /// The same as an option.
    #[arg(short, long, value_name = "PATH", conflicts_with = "path", add = ArgValueCompleter::new(complete::cgroups))]
    pub cgroup: Option<PathBuf>,
    /// Name of the attachment [default: from the cgroup's path].
    #[arg(long)]
    pub name: Option<String>,
    /// Idle timeout of flows that no hop is known for [default: 350s].
    #[arg(short, long, value_name = "DURATION", value_parser = units::parse, help_heading = HOPS)]
    pub timeout: Option<Duration>,
    /// The hops on the path.
    #[command(flatten)]
    pub hops: HopArgs,
    /// Time between two queries of --discover; with --detach there is only one [default: 5m].
    #[arg(long, value_name = "DURATION", value_parser = units::parse, help_heading = HOPS)]
    pub discover_interval: Option<Duration>,
    /// Idle time before the first probe, `TCP_KEEPIDLE` [default: from --timeout; 240s for 350s].
    #[arg(long, value_name = "DURATION", value_parser = units::parse, help_heading = KEEPALIVE)]
    pub idle: Option<Duration>,
    /// Time between unanswered probes, `TCP_KEEPINTVL` [default: from --timeout; 30s for 350s].
    #[arg(long, value_name = "DURATION", value_parser = units::parse, help_heading = KEEPALIVE)]
    pub interval: Option<Duration>,
    /// Unanswered probes before a connection is given up, `TCP_KEEPCNT` [default: 9].
    #[arg(long, value_name = "N", help_heading = KEEPALIVE)]
    pub probes: Option<u32>,
    /// Also set `TCP_USER_TIMEOUT`, which then decides when a connection is given up.
    #[arg(long, value_name = "DURATION", value_parser = units::parse, help_heading = KEEPALIVE)]
    pub user_timeout: Option<Duration>,
    /// How to treat an application's own keepalive settings [default: tighten].
    #[arg(long, value_enum, help_heading = KEEPALIVE)]
    pub on_conflict: Option<OnConflict>,
    /// Where idle times come from [default: sockets].
    #[arg(long, value_enum, help_heading = WATCHING)]
    pub track: Option<Track>,
    /// Apply limits to flows within this host, too, although no hop is on their path.
    #[arg(long, help_heading = HOPS)]
    pub loopback: bool,
    /// Also take over connections that are already open.
    #[arg(long, help_heading = KEEPALIVE)]
    pub existing: bool,
    /// Idle time from which a flow is reported: a share of the limit, or a duration [default: 80%].
    #[arg(long, value_name = "PERCENT|DURATION", help_heading = WATCHING)]
    pub warn: Option<Warn>,
    /// Exit after this time.
    #[arg(long = "for", value_name = "DURATION", value_parser = units::parse, help_heading = LIFETIME)]
    pub run_for: Option<Duration>,
    /// Attach again when the cgroup is removed and recreated, as a service manager does with each start of a unit.
    #[arg(long, conflicts_with = "detach", help_heading = LIFETIME)]
    pub follow: bool,
    /// Attach and exit; the programs stay attached until `injector detach`.
    #[arg(short, long, conflicts_with_all = ["run_for", "keep"], help_heading = LIFETIME)]
    pub detach: bool,
    /// Leave the programs attached on exit.
    #[arg(long, help_heading = LIFETIME)]
    pub keep: bool,
    /// Skip the self-test: a connection that injector opens in the cgroup.
    #[arg(long, help_heading = LIFETIME)]
    pub no_self_test: bool,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t, help_heading = WATCHING)]
    pub output: EventFormat,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  injector run --config /etc/injector/config.toml
  injector run --config /etc/injector/config.toml --listen unix:/run/injector.sock")]
pub(crate) struct Run {
    /// Configuration file; read again when it changes, and on SIGHUP.
    #[arg(short = 'f', long, value_name = "FILE", default_value = "/etc/injector/config.toml",
          add = ArgValueCompleter::new(PathCompleter::file()))]
    pub config: PathBuf,
    /// Where to serve metrics, flows and the status page, read-only.
    #[arg(short, long, value_name = "ADDRESS:PORT|unix:PATH", default_value = "127.0.0.1:9435")]
    pub listen: Listen,
}

/// Arguments of `flows`.
#[derive(Debug, Args)]
pub(crate) struct Flows {
    /// Only flows of this attachment.
    #[command(flatten)]
    pub target: AttachmentArgs,
    /// Ask the agent at this address, `http://127.0.0.1:9435`, or behind this socket.
    #[arg(short, long, value_name = "URL|SOCKET", conflicts_with_all = ["cgroup", "name"])]
    pub server: Option<Server>,
    /// Only flows at risk, overdue or stalled.
    #[arg(long)]
    pub at_risk: bool,
    /// Exit with 5 when there are any flows at risk, overdue or stalled.
    #[arg(long)]
    pub fail: bool,
    /// Sort order [default: the kernel's].
    #[arg(long, value_enum)]
    pub sort: Option<Sort>,
    /// List at most this many.
    #[arg(short = 'l', long, value_name = "N")]
    pub limit: Option<usize>,
    /// Repeat the list at this interval.
    #[arg(short, long, value_name = "DURATION", num_args = 0..=1, require_equals = true,
          default_missing_value = "2s", value_parser = units::parse)]
    pub watch: Option<Duration>,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: FlowFormat,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Arguments of `adopt`.
#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = false, args = ["cgroup", "name"])]
pub(crate) struct Adopt {
    /// The attachment that takes them over.
    #[command(flatten)]
    pub target: AttachmentArgs,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: EventFormat,
}

/// Arguments of `detach`.
#[derive(Debug, Args)]
#[command(override_usage = "injector detach <NAME>\n       injector detach --cgroup <PATH>")]
#[group(id = "what", required = true, multiple = false, args = ["attachment", "cgroup", "name", "all"])]
pub(crate) struct Detach {
    /// The attachment of this name.
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::attachments))]
    pub attachment: Option<String>,
    /// The same as an option, or the attachment to a cgroup.
    #[command(flatten)]
    pub target: AttachmentArgs,
    /// Detach everything that injector has attached on this host.
    #[arg(long)]
    pub all: bool,
    /// Don't ask before --all takes effect.
    #[arg(short, long, requires = "all")]
    pub yes: bool,
}

impl Detach {
    /// The name or path given.
    pub(crate) fn target(&self) -> AttachmentArgs {
        let AttachmentArgs { cgroup, name } = self.target.clone();
        AttachmentArgs { cgroup, name: name.or_else(|| self.attachment.clone()) }
    }
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Also list other BPF programs of this cgroup.
    #[arg(short, long, value_name = "PATH", default_value = "/", add = ArgValueCompleter::new(complete::cgroups))]
    pub cgroup: PathBuf,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// One attachment, or none in particular.
#[derive(Clone, Debug, Args)]
pub(crate) struct AttachmentArgs {
    /// The attachment to this cgroup.
    #[arg(short, long, value_name = "PATH", conflicts_with = "name", add = ArgValueCompleter::new(complete::cgroups))]
    pub cgroup: Option<PathBuf>,
    /// The attachment of this name.
    #[arg(long, add = ArgValueCandidates::new(complete::attachments))]
    pub name: Option<String>,
}

impl AttachmentArgs {
    /// Whether it names one.
    pub(crate) const fn is_some(&self) -> bool {
        self.cgroup.is_some() || self.name.is_some()
    }
}

impl From<&Attach> for Settings {
    fn from(args: &Attach) -> Self {
        Self {
            cgroup: args.path.clone().or_else(|| args.cgroup.clone()),
            name: args.name.clone(),
            timeout: args.timeout,
            idle: args.idle,
            interval: args.interval,
            probes: args.probes,
            user_timeout: args.user_timeout,
            warn: args.warn,
            on_conflict: args.on_conflict,
            track: args.track,
            loopback: args.loopback.then_some(true),
            discover: args.hops.discover,
            discover_interval: args.discover_interval,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use proptest::prelude::*;

    use injector_common::{
        conflict::TIGHTEN,
        keepalive::{FlowPolicy, Keepalive, MAX_IDLE_S, MAX_PROBES},
        timer::probes_below,
    };

    use super::*;
    use crate::{
        cli::{Cli, Command},
        rules::settings::{DEFAULT_TIMEOUT, DEFAULT_WARN, policy, remarks},
        units,
    };

    fn parse(args: &[&str]) -> Result<FlowPolicy, String> {
        let command = ["injector", "attach", "--cgroup", "/"].iter().chain(args);
        let Command::Attach(attach) = Cli::try_parse_from(command).map_err(|error| error.to_string())?.command else {
            unreachable!("attach was asked for");
        };
        policy(&Settings::from(&attach)).map_err(|error| error.to_string())
    }

    fn keepalive(idle_s: u32, interval_s: u32, probes: u32, user_timeout_ms: u32) -> Keepalive {
        Keepalive { idle_s, interval_s, probes, user_timeout_ms }
    }

    fn expected(keepalive: Keepalive, limit_ms: u32, warn_ms: u32) -> FlowPolicy {
        FlowPolicy { keepalive, limit_ms, warn_ms, conflict: TIGHTEN }
    }

    #[test]
    fn accepted() {
        let table: [(&[&str], FlowPolicy); 6] = [
            (&[], expected(keepalive(240, 30, 9, 0), 350_000, 280_000)),
            (&["--timeout", "1h", "--warn", "50%"], expected(keepalive(2468, 308, 9, 0), 3_600_000, 1_800_000)),
            (
                &["--idle", "2m", "--interval", "10", "--probes", "3"],
                expected(keepalive(120, 10, 3, 0), 350_000, 280_000),
            ),
            (
                &["--user-timeout", "338500ms", "--warn", "300s"],
                expected(keepalive(240, 30, 9, 338_500), 350_000, 300_000),
            ),
            (&["--timeout", "2s"], expected(keepalive(1, 1, 9, 0), 2000, 1600)),
            (
                &["--timeout", "1d", "--idle", "32767", "--probes", "127"],
                expected(keepalive(32_767, 7405, 127, 0), 86_400_000, 69_120_000),
            ),
        ];
        for (args, expected) in table {
            assert_eq!(parse(args), Ok(expected), "{args:?}");
        }
    }

    #[test]
    fn the_defaults_of_files_are_those_of_the_command_line() {
        let given = parse(&["--timeout", &units::exact(DEFAULT_TIMEOUT), "--warn", "80%"]);
        assert_eq!(parse(&[]), given);
        assert_eq!("80%".parse(), Ok(DEFAULT_WARN));
    }

    #[test]
    fn refused() {
        let table: [(&[&str], &str); 19] = [
            (&["--probes", "128"], "--probes is 128: the kernel takes 1 to 127"),
            (&["--probes", "0"], "the kernel takes 1 to 127"),
            (
                &["--timeout", "100000", "--idle", "32768"],
                "--idle is 32768s: the kernel takes whole seconds from 1 to 32767",
            ),
            (&["--idle", "0"], "from 1 to 32767"),
            (&["--idle", "1500ms"], "whole seconds"),
            (&["--interval", "32768"], "--interval is 32768s"),
            (&["--idle", "350"], "--idle is 350s: probes must come more often than the idle timeout of 350s"),
            (&["--interval", "400"], "--interval is 400s: probes must come more often"),
            (&["--timeout", "60", "--idle", "59"], "an eighth late, which makes 67s: give 53s or less"),
            (&["--idle", "311"], "give 310s or less"),
            (&["--user-timeout", "20s"], "--user-timeout is 20s: with idle 240s and interval 30s it leaves no room"),
            (&["--user-timeout", "338s"], "give 339s or more"),
            (&["--timeout", "1s"], "--timeout is 1s: give 2s to 4233600s (49 days)"),
            (&["--timeout", "50days"], "give 2s to 4233600s"),
            (&["--user-timeout", "0"], "--user-timeout"),
            (&["--user-timeout", "30days"], "--user-timeout"),
            (&["--warn", "100%"], "--warn is 100%: give 1% to 99%"),
            (&["--warn", "0%"], "give 1% to 99%"),
            (&["--warn", "6m"], "--warn is 360s: give a time below the idle timeout of 350s"),
        ];
        for (args, expected) in table {
            let error = parse(args).expect_err(expected);
            assert!(error.contains(expected), "{args:?}: {error}");
        }
    }

    #[test]
    fn surprises_are_pointed_out() {
        let table: [(&[&str], usize); 4] =
            [(&[], 0), (&["--warn", "200s"], 1), (&["--idle", "310"], 2), (&["--timeout", "2s"], 1)];
        for (args, count) in table {
            let remarks = remarks(&parse(args).expect("accepted"));
            assert_eq!(remarks.len(), count, "{args:?}: {remarks:?}");
        }
    }

    proptest! {
        /// Whatever is accepted lies in the kernel's ranges and serves.
        #[test]
        fn what_is_accepted_serves(timeout in 0_u64..5_000_000, idle in 0_u64..40_000, probes in 0_u32..200) {
            let accepted = parse(&[
                "--timeout", &timeout.to_string(), "--idle", &idle.to_string(), "--probes", &probes.to_string(),
            ]);
            if let Ok(policy) = accepted {
                let Keepalive { idle_s, interval_s, probes, .. } = policy.keepalive;
                prop_assert!((1..=MAX_IDLE_S).contains(&idle_s) && (1..=MAX_IDLE_S).contains(&interval_s));
                prop_assert!((1..=MAX_PROBES).contains(&probes));
                prop_assert!(probes_below(policy.limit_ms.into(), idle_s, interval_s, probes) >= 1);
                prop_assert!(policy.warn_ms < policy.limit_ms);
            }
        }
    }
}
