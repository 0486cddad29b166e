//! What the arguments of `attach` come to, checked against the kernel's
//! ranges and against each other.

use std::{path::PathBuf, time::Duration};

use injector_common::{
    conflict::{ENFORCE, RESPECT, TIGHTEN},
    keepalive::{FlowPolicy, Keepalive, MAX_IDLE_S, MAX_PROBES},
};

use crate::{
    aws,
    cli::{Attach, Discover, OnConflict, Track, Warn},
    duration,
    exit::Error,
    hop::Hop,
    keepalive::{MAX_LIMIT, MIN_LIMIT_S, derive, probes_below},
};

/// `--timeout` unless told otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(350);
/// `--warn` unless told otherwise.
pub const DEFAULT_WARN: Warn = Warn::Percent(80);
/// `--discover-interval` unless told otherwise.
pub const DEFAULT_DISCOVER_INTERVAL: Duration = Duration::from_secs(300);
/// The cloud answers within a few seconds; asking more often only gets us
/// throttled.
const MIN_DISCOVER_INTERVAL: Duration = Duration::from_secs(1);

/// What `attach` is to do, from its arguments or from a file. What is left out
/// has its default.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `--cgroup`.
    pub cgroup: Option<PathBuf>,
    /// `--name`.
    pub name: Option<String>,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// `--idle`.
    pub idle: Option<Duration>,
    /// `--interval`.
    pub interval: Option<Duration>,
    /// `--probes`.
    pub probes: Option<u32>,
    /// `--user-timeout`.
    pub user_timeout: Option<Duration>,
    /// `--warn`.
    pub warn: Option<Warn>,
    /// `--on-conflict`.
    pub on_conflict: Option<OnConflict>,
    /// `--track`.
    pub track: Option<Track>,
    /// `--discover`.
    pub discover: Option<Discover>,
    /// `--discover-interval`.
    pub discover_interval: Option<Duration>,
}

impl Settings {
    /// From the arguments of `attach`.
    pub fn of(args: &Attach) -> Self {
        Self {
            cgroup: args.cgroup.clone(),
            name: args.name.clone(),
            timeout: args.timeout,
            idle: args.idle,
            interval: args.interval,
            probes: args.probes,
            user_timeout: args.user_timeout,
            warn: args.warn,
            on_conflict: args.on_conflict,
            track: args.track,
            discover: args.hops.discover,
            discover_interval: args.discover_interval,
        }
    }

    /// These, and where they say nothing `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            cgroup: self.cgroup.or(other.cgroup),
            name: self.name.or(other.name),
            timeout: self.timeout.or(other.timeout),
            idle: self.idle.or(other.idle),
            interval: self.interval.or(other.interval),
            probes: self.probes.or(other.probes),
            user_timeout: self.user_timeout.or(other.user_timeout),
            warn: self.warn.or(other.warn),
            on_conflict: self.on_conflict.or(other.on_conflict),
            track: self.track.or(other.track),
            discover: self.discover.or(other.discover),
            discover_interval: self.discover_interval.or(other.discover_interval),
        }
    }
}

/// The policy for flows that no hop is known for.
///
/// Errors with [`Error::BadValue`], naming the option and its range.
pub fn policy(settings: &Settings) -> Result<FlowPolicy, Error> {
    let timeout = settings.timeout.unwrap_or(DEFAULT_TIMEOUT);
    let limit_ms = limit(timeout)?;
    let derived = derive(limit_ms / 1000);
    Ok(FlowPolicy {
        keepalive: Keepalive {
            idle_s: probe_time("--idle", settings.idle, derived.idle_s, timeout)?,
            interval_s: probe_time("--interval", settings.interval, derived.interval_s, timeout)?,
            probes: probes(settings.probes.unwrap_or(derived.probes))?,
            user_timeout_ms: settings.user_timeout.map_or(Ok(0), user_timeout)?,
        },
        limit_ms,
        warn_ms: warn(settings.warn.unwrap_or(DEFAULT_WARN), timeout, limit_ms)?,
        conflict: match settings.on_conflict.unwrap_or_default() {
            OnConflict::Respect => RESPECT,
            OnConflict::Tighten => TIGHTEN,
            OnConflict::Enforce => ENFORCE,
        },
    })
}

/// How often to ask the cloud for hops; `None` where it is not to be asked.
///
/// Errors with [`Error::BadValue`] where this build can't ask, or should too
/// often.
pub fn discovery(settings: &Settings) -> Result<Option<Duration>, Error> {
    let interval = settings.discover_interval.unwrap_or(DEFAULT_DISCOVER_INTERVAL);
    if interval < MIN_DISCOVER_INTERVAL {
        let expected = format!("give {} or more", duration::exact(MIN_DISCOVER_INTERVAL));
        return Err(Error::BadValue { what: "--discover-interval", value: duration::exact(interval), expected });
    }
    match settings.discover.unwrap_or_default() {
        Discover::None => Ok(None),
        Discover::Aws => aws::check_support().map(|()| Some(interval)),
    }
}

/// The policy for flows that `hop` limits.
///
/// Errors as [`policy`] does, naming the hop.
pub fn policy_for(settings: &Settings, hop: &Hop) -> Result<FlowPolicy, Error> {
    policy(&Settings { timeout: Some(hop.timeout), ..settings.clone() }).map_err(|error| at(hop, error))
}

/// Idle time in milliseconds from which to warn of the timer of `hop`.
pub fn warn_mark(settings: &Settings, hop: &Hop) -> Result<u32, Error> {
    warn(settings.warn.unwrap_or(DEFAULT_WARN), hop.timeout, hop.timeout_ms()).map_err(|error| at(hop, error))
}

fn at(hop: &Hop, error: Error) -> Error {
    match error {
        Error::BadValue { what, value, expected } => {
            Error::BadValue { what, value, expected: format!("{expected} (hop {})", hop.name) }
        }
        other => other,
    }
}

/// What is allowed but may surprise; a sentence each.
pub fn remarks(policy: &FlowPolicy) -> Vec<String> {
    let Keepalive { idle_s, interval_s, probes, .. } = policy.keepalive;
    let mut remarks = Vec::new();
    let below = probes_below(policy.limit_ms, idle_s, interval_s, probes);
    if below < 2 {
        remarks.push(format!("only {below} probe falls below the idle timeout: if it is lost, so is the flow"));
    }
    if policy.warn_ms <= idle_s.saturating_mul(1000) {
        remarks.push("flows are warned of before their first probe: every idle flow will be reported".to_owned());
    }
    remarks
}

/// Milliseconds of an idle timeout that keepalive can serve.
pub(crate) fn limit(timeout: Duration) -> Result<u32, Error> {
    let range = || {
        bad("--timeout", duration::exact(timeout), format!("give {MIN_LIMIT_S}s to {}s (49 days)", MAX_LIMIT.as_secs()))
    };
    if timeout < Duration::from_secs(MIN_LIMIT_S.into()) || timeout > MAX_LIMIT {
        return Err(range());
    }
    u32::try_from(timeout.as_millis()).map_err(|_| range())
}

/// Idle or interval, which must both lie below the timeout: the kernel never
/// probes more often than the longer one of them says.
fn probe_time(what: &'static str, given: Option<Duration>, derived: u32, timeout: Duration) -> Result<u32, Error> {
    let Some(given) = given else { return Ok(derived) };
    let refused = |expected| bad(what, duration::exact(given), expected);
    let seconds = u32::try_from(given.as_secs())
        .ok()
        .filter(|seconds| (1..=MAX_IDLE_S).contains(seconds) && given.subsec_nanos() == 0)
        .ok_or_else(|| refused(format!("the kernel takes whole seconds from 1 to {MAX_IDLE_S}")))?;
    if given >= timeout {
        let timeout = duration::exact(timeout);
        return Err(refused(format!("probes must come more often than the idle timeout of {timeout}")));
    }
    Ok(seconds)
}

fn probes(given: u32) -> Result<u32, Error> {
    if (1..=MAX_PROBES).contains(&given) {
        Ok(given)
    } else {
        Err(bad("--probes", given.to_string(), format!("the kernel takes 1 to {MAX_PROBES}")))
    }
}

/// The kernel takes an `int` of milliseconds.
fn user_timeout(given: Duration) -> Result<u32, Error> {
    i32::try_from(given.as_millis())
        .ok()
        .filter(|&ms| ms > 0)
        .map(i32::cast_unsigned)
        .ok_or_else(|| bad("--user-timeout", duration::exact(given), format!("the kernel takes 1ms to {}ms", i32::MAX)))
}

fn warn(warn: Warn, timeout: Duration, limit_ms: u32) -> Result<u32, Error> {
    match warn {
        Warn::Percent(percent) if (1..=99).contains(&percent) => {
            Ok(u32::try_from(u64::from(limit_ms) * u64::from(percent) / 100).unwrap_or(limit_ms))
        }
        Warn::Percent(percent) => Err(bad("--warn", format!("{percent}%"), "give 1% to 99%".to_owned())),
        Warn::Idle(idle) => {
            u32::try_from(idle.as_millis()).ok().filter(|&ms| ms > 0 && ms < limit_ms).ok_or_else(|| {
                let expected = format!("give a time below the idle timeout of {}", duration::exact(timeout));
                bad("--warn", duration::exact(idle), expected)
            })
        }
    }
}

const fn bad(what: &'static str, value: String, expected: String) -> Error {
    Error::BadValue { what, value, expected }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use proptest::prelude::*;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(args: &[&str]) -> Result<FlowPolicy, String> {
        let command = ["injector", "attach", "--cgroup", "/"].iter().chain(args);
        let Command::Attach(attach) = Cli::try_parse_from(command).map_err(|error| error.to_string())?.command else {
            unreachable!("attach was asked for");
        };
        policy(&Settings::of(&attach)).map_err(|error| error.to_string())
    }

    fn keepalive(idle_s: u32, interval_s: u32, probes: u32, user_timeout_ms: u32) -> Keepalive {
        Keepalive { idle_s, interval_s, probes, user_timeout_ms }
    }

    fn expected(keepalive: Keepalive, limit_ms: u32, warn_ms: u32) -> FlowPolicy {
        FlowPolicy { keepalive, limit_ms, warn_ms, conflict: RESPECT }
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
            (&["--user-timeout", "1500ms", "--warn", "300s"], expected(keepalive(240, 30, 9, 1500), 350_000, 300_000)),
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
        let given = parse(&["--timeout", &duration::exact(DEFAULT_TIMEOUT), "--warn", "80%"]);
        assert_eq!(parse(&[]), given);
        assert_eq!("80%".parse(), Ok(DEFAULT_WARN));
    }

    #[test]
    fn refused() {
        let table: [(&[&str], &str); 15] = [
            (&["--probes", "128"], "--probes is 128: the kernel takes 1 to 127"),
            (&["--probes", "0"], "the kernel takes 1 to 127"),
            (
                &["--timeout", "100000", "--idle", "32768"],
                "--idle is 9h6m8s: the kernel takes whole seconds from 1 to 32767",
            ),
            (&["--idle", "0"], "from 1 to 32767"),
            (&["--idle", "1500ms"], "whole seconds"),
            (&["--interval", "32768"], "--interval is 9h6m8s"),
            (&["--idle", "350"], "--idle is 5m50s: probes must come more often than the idle timeout of 5m50s"),
            (&["--interval", "400"], "--interval is 6m40s: probes must come more often"),
            (&["--timeout", "1s"], "--timeout is 1s: give 2s to 4233600s (49 days)"),
            (&["--timeout", "50days"], "give 2s to 4233600s"),
            (&["--user-timeout", "0"], "--user-timeout"),
            (&["--user-timeout", "30days"], "--user-timeout"),
            (&["--warn", "100%"], "--warn is 100%: give 1% to 99%"),
            (&["--warn", "0%"], "give 1% to 99%"),
            (&["--warn", "6m"], "--warn is 6m: give a time below the idle timeout of 5m50s"),
        ];
        for (args, expected) in table {
            let error = parse(args).expect_err(expected);
            assert!(error.contains(expected), "{args:?}: {error}");
        }
    }

    #[test]
    fn surprises_are_pointed_out() {
        let table: [(&[&str], usize); 4] =
            [(&[], 0), (&["--warn", "200s"], 1), (&["--idle", "349"], 2), (&["--timeout", "2s"], 1)];
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
                prop_assert!(probes_below(policy.limit_ms, idle_s, interval_s, probes) >= 1);
                prop_assert!(policy.warn_ms < policy.limit_ms);
            }
        }
    }
}
