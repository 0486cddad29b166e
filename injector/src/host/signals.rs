//! The signals that end a process or have it read its configuration again.
//!
//! A signal that is ignored from the start is meant to be survived: `nohup` does so with SIGHUP, and a shell without
//! job control with the SIGINT of what it puts into the background.

use std::{future::pending, io};

use procfs::process::Process;
use tokio::signal::unix::{self, SignalKind};

/// What SIGHUP means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnHangup {
    /// Shut down: the terminal was closed, and the output has no reader.
    End,
    /// The configuration is to be read again. So it is taken even where `nohup` has it ignored.
    Reload,
}

/// What a signal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignalRequest {
    /// Shut down.
    End,
    /// The configuration is to be read again.
    Reload,
}

/// SIGINT, SIGTERM and SIGHUP.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    on_hangup: OnHangup,
}

impl Signals {
    /// Takes the signals over from their default, which would kill us. To be called within a runtime.
    pub(crate) fn new(on_hangup: OnHangup) -> io::Result<Self> {
        Ok(Self {
            interrupt: Signal::unless_ignored(SignalKind::interrupt())?,
            terminate: Signal::unless_ignored(SignalKind::terminate())?,
            hangup: match on_hangup {
                OnHangup::End => Signal::unless_ignored(SignalKind::hangup())?,
                OnHangup::Reload => Signal::taken(SignalKind::hangup())?,
            },
            on_hangup,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> SignalRequest {
        tokio::select! {
            () = self.interrupt.recv() => SignalRequest::End,
            () = self.terminate.recv() => SignalRequest::End,
            () = self.hangup.recv() => match self.on_hangup {
                OnHangup::End => SignalRequest::End,
                OnHangup::Reload => SignalRequest::Reload,
            },
        }
    }

    /// Waits for one that means shutdown.
    pub(crate) async fn end(&mut self) {
        while self.next().await == SignalRequest::Reload {}
    }
}

/// A signal; `None` where it is ignored.
#[derive(Debug)]
struct Signal(Option<unix::Signal>);

impl Signal {
    /// Takes it over from its default. One that is ignored stays so.
    fn unless_ignored(kind: SignalKind) -> io::Result<Self> {
        if is_ignored(kind) { Ok(Self(None)) } else { Self::taken(kind) }
    }

    /// Takes it over, ignored or not.
    fn taken(kind: SignalKind) -> io::Result<Self> {
        unix::signal(kind).map(Some).map(Self)
    }

    /// Waits for it; for ever where it is ignored.
    async fn recv(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => pending().await,
        }
    }
}

fn is_ignored(kind: SignalKind) -> bool {
    let status = Process::myself().and_then(|process| process.status());
    status.is_ok_and(|status| has(status.sigign, kind))
}

/// Whether a signal is in a set as `/proc/PID/status` has it: signal 1 is its lowest bit.
fn has(set: u64, kind: SignalKind) -> bool {
    let bit = u32::try_from(kind.as_raw_value() - 1).unwrap_or(u32::MAX);
    set.checked_shr(bit).is_some_and(|rest| rest & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_signals() {
        let table = [
            (0x1, SignalKind::hangup(), true),
            (0x1, SignalKind::interrupt(), false),
            (0x4002, SignalKind::interrupt(), true),
            (0x4002, SignalKind::terminate(), true),
            (0x4002, SignalKind::hangup(), false),
            (0, SignalKind::from_raw(64), false),
            (u64::MAX, SignalKind::from_raw(64), true),
            (u64::MAX, SignalKind::from_raw(65), false),
        ];
        for (set, kind, expected) in table {
            assert_eq!(has(set, kind), expected, "{set:#x} {kind:?}");
        }
    }

    #[test]
    fn what_the_runtime_ignores_is_seen() {
        assert!(is_ignored(SignalKind::pipe()), "Rust programs ignore SIGPIPE");
        assert!(!is_ignored(SignalKind::terminate()));
    }
}
