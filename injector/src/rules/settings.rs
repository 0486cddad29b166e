//! The settings of `attach`, checked against the kernel's ranges and against each other.

use std::{path::PathBuf, time::Duration};

use injector_common::{
    keepalive::{FlowPolicy, Keepalive, MAX_IDLE_S, MAX_PROBES},
    timer::{self, latest_ms, longest_below_s, probes_below},
};

use crate::{
    error::Error,
    hop::{Hop, MAX_LIMIT, MIN_LIMIT_S},
    rules::{
        timing::derive,
        values::{Discover, OnConflict, Track, Warn},
    },
    units,
};

/// Default of `--timeout`.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(350);
/// Default of `--warn`.
pub(crate) const DEFAULT_WARN: Warn = Warn::Percent(80);
/// Default of `--discover-interval`.
pub(crate) const DEFAULT_DISCOVER_INTERVAL: Duration = Duration::from_secs(300);
/// What `attach` is to do, from its arguments or from a file. Missing values have their default.
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
    /// `--loopback`.
    pub loopback: Option<bool>,
    /// `--discover`.
    pub discover: Option<Discover>,
    /// `--discover-interval`.
    pub discover_interval: Option<Duration>,
}

impl Settings {
    /// These, with `other` in place of missing ones.
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
            loopback: self.loopback.or(other.loopback),
            discover: self.discover.or(other.discover),
            discover_interval: self.discover_interval.or(other.discover_interval),
        }
    }
}

/// The policy for flows without a known hop.
///
/// Errors with [`Error::BadValue`], naming the option and its range.
pub(crate) fn policy(settings: &Settings) -> Result<FlowPolicy, Error> {
    let timeout = settings.timeout.unwrap_or(DEFAULT_TIMEOUT);
    let limit_ms = limit(timeout)?;
    let keepalive = parameters(settings, limit_ms)?;
    check_room("--user-timeout", &keepalive)?;
    Ok(FlowPolicy {
        keepalive,
        limit_ms,
        warn_ms: warn(settings.warn.unwrap_or(DEFAULT_WARN), timeout, limit_ms)?,
        conflict: settings.on_conflict.unwrap_or_default().code(),
    })
}

/// The parameters alone, each within its range.
pub(crate) fn parameters(settings: &Settings, limit_ms: u32) -> Result<Keepalive, Error> {
    let derived = derive(limit_ms / 1000);
    Ok(Keepalive {
        idle_s: probe_time("--idle", settings.idle, derived.idle_s, limit_ms)?,
        interval_s: probe_time("--interval", settings.interval, derived.interval_s, limit_ms)?,
        probes: probes(settings.probes.unwrap_or(derived.probes))?,
        user_timeout_ms: settings.user_timeout.map_or(Ok(0), user_timeout)?,
    })
}

/// A user timeout of our own must leave room for three probes: it counts the
/// idle time before the first one, and once it has passed a single lost probe
/// ends the connection.
pub(crate) fn check_room(what: &'static str, keepalive: &Keepalive) -> Result<(), Error> {
    if timer::fits_user_timeout(keepalive) {
        return Ok(());
    }
    let Keepalive { idle_s, interval_s, user_timeout_ms, .. } = *keepalive;
    let enough_s = timer::last_spare_probe_ms(idle_s, interval_s) / 1000 + 1;
    let given = units::exact(Duration::from_millis(user_timeout_ms.into()));
    let expected = format!(
        "with idle {idle_s}s and interval {interval_s}s it leaves no room for three probes, and one that is lost would \
         end the connection: give {enough_s}s or more, or a shorter idle time and interval"
    );
    Err(bad(what, given, expected))
}

/// The policy for flows that `hop` limits.
///
/// Errors as [`policy`] does, naming the hop.
pub(crate) fn policy_for(settings: &Settings, hop: &Hop) -> Result<FlowPolicy, Error> {
    policy(&Settings { timeout: Some(hop.timeout), ..settings.clone() }).map_err(|error| at(hop, error))
}

/// Idle time in milliseconds from which to warn of the timer of `hop`.
pub(crate) fn warn_mark(settings: &Settings, hop: &Hop) -> Result<u32, Error> {
    warn(settings.warn.unwrap_or(DEFAULT_WARN), hop.timeout, hop.timeout_ms()).map_err(|error| at(hop, error))
}

/// Limit of a half-closed connection and the mark from which to warn of it, in
/// milliseconds. A mark that only an established connection can reach is taken
/// for the default.
pub(crate) fn half_closed(settings: &Settings, timeout: Duration) -> (u32, u32) {
    let limit_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
    let given = warn(settings.warn.unwrap_or(DEFAULT_WARN), timeout, limit_ms);
    (limit_ms, given.or_else(|_| warn(DEFAULT_WARN, timeout, limit_ms)).unwrap_or(limit_ms))
}

fn at(hop: &Hop, error: Error) -> Error {
    match error {
        Error::BadValue { what, value, expected } => {
            Error::BadValue { what, value, expected: format!("{expected} (hop {})", hop.name) }
        }
        other => other,
    }
}

/// Remarks on settings that are allowed but may surprise; a sentence each.
pub(crate) fn remarks(policy: &FlowPolicy) -> Vec<String> {
    let Keepalive { idle_s, interval_s, probes, .. } = policy.keepalive;
    let mut remarks = Vec::new();
    let below = probes_below(policy.limit_ms.into(), idle_s, interval_s, probes);
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
        bad("--timeout", units::exact(timeout), format!("give {MIN_LIMIT_S}s to {}s (49 days)", MAX_LIMIT.as_secs()))
    };
    if timeout < Duration::from_secs(MIN_LIMIT_S.into()) || timeout > MAX_LIMIT {
        return Err(range());
    }
    u32::try_from(timeout.as_millis()).map_err(|_| range())
}

/// Idle or interval. Both must lie below the limit, however late the kernel's
/// timer: it never probes more often than the longer one of them says.
fn probe_time(what: &'static str, given: Option<Duration>, derived: u32, limit_ms: u32) -> Result<u32, Error> {
    let Some(given) = given else { return Ok(derived) };
    let refused = |expected| bad(what, units::exact(given), expected);
    let seconds = u32::try_from(given.as_secs())
        .ok()
        .filter(|seconds| (1..=MAX_IDLE_S).contains(seconds) && given.subsec_nanos() == 0)
        .ok_or_else(|| refused(format!("the kernel takes whole seconds from 1 to {MAX_IDLE_S}")))?;
    if latest_ms(seconds) >= u64::from(limit_ms) {
        let limit = units::exact(Duration::from_millis(limit_ms.into()));
        let (latest_s, longest_s) = (latest_ms(seconds).div_ceil(1000), longest_below_s(limit_ms.into()));
        return Err(refused(format!(
            "probes must come more often than the idle timeout of {limit}, and the kernel's timer may be an eighth \
             late, which makes {latest_s}s: give {longest_s}s or less"
        )));
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
        .ok_or_else(|| bad("--user-timeout", units::exact(given), format!("the kernel takes 1ms to {}ms", i32::MAX)))
}

fn warn(warn: Warn, timeout: Duration, limit_ms: u32) -> Result<u32, Error> {
    match warn {
        Warn::Percent(percent) if (1..=99).contains(&percent) => {
            Ok(u32::try_from(u64::from(limit_ms) * u64::from(percent) / 100).unwrap_or(limit_ms))
        }
        Warn::Percent(percent) => Err(bad("--warn", format!("{percent}%"), "give 1% to 99%".to_owned())),
        Warn::Idle(idle) => {
            u32::try_from(idle.as_millis()).ok().filter(|&ms| ms > 0 && ms < limit_ms).ok_or_else(|| {
                let expected = format!("give a time below the idle timeout of {}", units::exact(timeout));
                bad("--warn", units::exact(idle), expected)
            })
        }
    }
}

const fn bad(what: &'static str, value: String, expected: String) -> Error {
    Error::BadValue { what, value, expected }
}
