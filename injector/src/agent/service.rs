//! Reports to the service manager, where there is one (`sd_notify(3)`).

use std::time::Duration;

use sd_notify::NotifyState;

/// All is attached.
pub(super) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The configuration is read again; [`ready`] ends that.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!("no clock for the service manager: {error}"),
    }
}

/// Shutdown has begun.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Still alive.
pub(super) fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// How often to report that the agent is alive, if at all: twice as often as required.
pub(super) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("the service manager does not listen: {error}");
    }
}
