//! Jumps of the clock: a machine that was suspended, or one whose time was set.
//!
//! Timers of this process stand still while the machine is suspended; those of
//! hops go on. So a watch must scan at once when it wakes up.

use std::{future::pending, io, os::fd::OwnedFd};

use rustix::{
    io::Errno,
    time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime},
};
use tokio::io::unix::AsyncFd;

/// Seconds since 1970 that no clock reaches.
const NEVER: i64 = 1 << 33;

/// Notices jumps. Needs tokio's runtime.
#[derive(Debug)]
pub(crate) struct ClockJumps(Option<AsyncFd<OwnedFd>>);

impl ClockJumps {
    /// Starts to watch. Where that fails no jump is noticed.
    pub(crate) fn new() -> Self {
        let timer = timer().and_then(registered);
        if let Err(error) = &timer {
            tracing::info!("the end of a suspension is noticed at the next scan only: {error}");
        }
        Self(timer.ok())
    }

    /// Waits for a jump.
    pub(crate) async fn next(&mut self) {
        let Some(timer) = &self.0 else { return pending().await };
        loop {
            let Ok(mut ready) = timer.readable().await else { return pending().await };
            match rustix::io::read(timer, &mut [0; 8]) {
                Err(Errno::AGAIN) => ready.clear_ready(),
                // That is how it says so (`timerfd_create(2)`).
                Err(Errno::CANCELED) => return,
                _ => return pending().await,
            }
        }
    }
}

fn registered(timer: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor is the same one for as long as it lives.
    #[expect(unsafe_code, reason = "a promise that tokio asks for")]
    let registered = unsafe { AsyncFd::register(timer) };
    Ok(registered?)
}

/// A timer that only ever is cancelled: by a step of `CLOCK_REALTIME` against
/// `CLOCK_MONOTONIC`, which each suspension is. Since 3.0.
fn timer() -> io::Result<OwnedFd> {
    let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    let never = Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: Timespec { tv_sec: NEVER, tv_nsec: 0 },
    };
    timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET, &never)?;
    Ok(timer)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_clock_that_goes_on_does_not_jump() {
        let mut jumps = ClockJumps::new();
        assert!(jumps.0.is_some(), "every kernel has it");
        let waited = tokio::time::timeout(Duration::from_millis(50), jumps.next()).await;
        assert!(waited.is_err());
    }
}
