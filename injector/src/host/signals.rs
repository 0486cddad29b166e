//! Signals that we were not told to ignore.
//!
//! Who starts a program with a signal ignored wants it to survive that signal: `nohup` does so with SIGHUP, and a shell
//! without job control with the SIGINT of what it puts into the background.

use std::{future::pending, io};

use procfs::process::Process;
use tokio::signal::unix::{self, SignalKind};

/// A signal, unless it was ignored from the start.
#[derive(Debug)]
pub struct Signal(Option<unix::Signal>);

impl Signal {
    /// Takes it over from its default. One that is ignored stays so.
    pub fn unless_ignored(kind: SignalKind) -> io::Result<Self> {
        if is_ignored(kind) { Ok(Self(None)) } else { unix::signal(kind).map(Some).map(Self) }
    }

    /// Waits for it; for ever where it is ignored.
    pub async fn recv(&mut self) -> Option<()> {
        match &mut self.0 {
            Some(signal) => signal.recv().await,
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
