//! The timeouts that AWS hops take.

use std::ops::RangeInclusive;

use super::Limit;
use crate::{error::Error, units};

/// `TcpEstablishedTimeout` of a network interface, in seconds (EC2 API
/// reference, `ConnectionTrackingSpecificationRequest`).
const INTERFACE_S: RangeInclusive<u32> = 60..=432_000;
/// `tcp.idle_timeout.seconds` of an NLB's TCP listener (ELB API reference,
/// `ListenerAttribute`).
const LISTENER_S: RangeInclusive<u32> = 60..=6000;

/// Seconds that a network interface takes.
pub(super) fn interface(limit: &Limit) -> Result<u32, Error> {
    within(limit, &INTERFACE_S, "TcpEstablishedTimeout of a network interface", "")
}

/// Seconds that both a network interface and an NLB listener take. Both get the
/// same, so that the listener never outlives the interface.
pub(super) fn interface_and_listener(limit: &Limit) -> Result<u32, Error> {
    let hint = " (for an interface alone: --for launch-template)";
    within(limit, &LISTENER_S, "tcp.idle_timeout.seconds of a listener", hint)
}

fn within(limit: &Limit, range: &RangeInclusive<u32>, setting: &str, hint: &str) -> Result<u32, Error> {
    let seconds = limit.seconds();
    if range.contains(&seconds) && limit.timeout.subsec_nanos() == 0 {
        return Ok(seconds);
    }
    let (first, last) = (range.start(), range.end());
    Err(Error::BadValue {
        what: "--timeout",
        value: units::exact(limit.timeout),
        expected: format!("{setting} takes whole seconds from {first} to {last}{hint}"),
    })
}
