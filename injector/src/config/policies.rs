//! `[[policy]]`: resolved and checked.

use injector_common::keepalive::{DEFAULT_PROBES, Keepalive as Parameters, MAX_IDLE_S};
use toml::Spanned;

use super::{
    raw::{RawKeepalive, RawMode, RawPolicy},
    resolve::{keepalive, scope, start_or},
    values::Text,
};
use crate::{
    error::Error,
    rules::{
        policy::{Mode, Policy, Selector},
        settings,
    },
};

/// A complaint about the byte at an offset.
type Complaint = (usize, String);

pub(super) fn policy(raw: &RawPolicy) -> Result<Policy, Complaint> {
    let mode = raw.keepalive.as_ref();
    Ok(Policy {
        selector: Selector {
            cgroup: raw.cgroup.as_ref().map(super::agent::pattern).transpose()?,
            namespace: glob(raw.namespace.as_ref())?,
            pod: glob(raw.pod.as_ref())?,
            container: glob(raw.container.as_ref())?,
        },
        scope: scope(raw.remote.as_ref(), raw.port.as_ref(), None, raw.direction.as_ref())?,
        keepalive: mode.map_or(Ok(Mode::Derived), self::mode)?,
        on_conflict: raw.on_conflict.as_ref().map(|rule| *rule.get_ref()),
        adopt: raw.adopt,
    })
}

fn glob(text: Option<&Spanned<Text>>) -> Result<Option<glob::Pattern>, Complaint> {
    let Some(text) = text else { return Ok(None) };
    let pattern = glob::Pattern::new(&text.get_ref().0);
    pattern
        .map(Some)
        .map_err(|error| (text.span().start, format!("invalid pattern {:?}: {}", text.get_ref().0, error.msg)))
}

fn mode(raw: &Spanned<RawMode>) -> Result<Mode, Complaint> {
    let offset = raw.span().start;
    match raw.get_ref() {
        RawMode::Word(word) if word == "derived" => Ok(Mode::Derived),
        RawMode::Word(word) if word == "exempt" => Ok(Mode::Exempt),
        RawMode::Word(word) => {
            let expected = "expected \"derived\", \"exempt\" or { idle = \"60s\", interval = \"10s\" }";
            Err((offset, format!("invalid keepalive {word:?}: {expected}")))
        }
        RawMode::Values(values) => explicit(values, offset).map(Mode::Explicit),
    }
}

/// The interval follows from the idle time as it does where both follow from a
/// limit: an eighth.
fn explicit(raw: &RawKeepalive, offset: usize) -> Result<Parameters, Complaint> {
    let given = keepalive(raw)?;
    let Some(idle) = given.idle else {
        return Err((start_or(raw.interval.as_ref(), offset), "idle is missing: write { idle = \"60s\" }".to_owned()));
    };
    let seconds = |time: std::time::Duration| u32::try_from(time.as_secs()).unwrap_or(MAX_IDLE_S);
    let parameters = Parameters {
        idle_s: seconds(idle),
        interval_s: given.interval.map_or_else(|| (seconds(idle) / 8).max(1), seconds),
        probes: given.probes.unwrap_or(DEFAULT_PROBES),
        user_timeout_ms: given.user_timeout.map_or(0, |time| u32::try_from(time.as_millis()).unwrap_or(u32::MAX)),
    };
    let refused = |error: Error| (start_or(raw.user_timeout.as_ref(), offset), error.to_string());
    settings::check_room("user_timeout", &parameters).map_err(refused)?;
    Ok(parameters)
}
