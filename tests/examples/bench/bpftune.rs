//! An agent of the same kind to compare with: bpftune (<https://github.com/oracle/bpftune>), which tunes sysctls by what its
//! BPF programs see. Debian 12 has no package of it, so it is taken from the PATH where it is there. It needs fentry programs
//! or kprobes, and `CAP_SYS_RESOURCE`.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use injector_tests::{Netns, Place, Process, Signal};

use crate::timed;

/// It leaves a mount and a file in /run, which here is its own and goes with it.
const START: &str = "mount -t tmpfs bpftune /run && exec bpftune --stderr --rollback";
/// It does not report when its tuners are active, but loading them keeps a processor busy. At rest it wakes ten times a
/// second.
const REST: Duration = Duration::from_secs(2);
const REST_CPU_MS: f64 = 100.0;
/// For loading, under an emulator too, and for putting back what it changed.
const PATIENCE: Duration = Duration::from_secs(120);

/// bpftune active, with the tuners that it finds and can load. Dropping it has it undo its changes, which it does not when
/// it is killed.
#[derive(Debug)]
pub(crate) struct Bpftune {
    process: Process,
    version: String,
}

impl Bpftune {
    /// Starts it in a network namespace, so that the sysctls it writes at once are not the host's. The error is the reason why
    /// there is none.
    pub(crate) fn start(netns: &Netns) -> Result<Self, String> {
        let version = version().ok_or("there is none on the PATH")?;
        let process = Process::spawn(Place::netns(netns), "unshare", &["--mount", "sh", "-c", START]);
        let mut bpftune = Self { process, version };
        bpftune.settle().map(|()| bpftune)
    }

    /// Waits until it is at rest.
    fn settle(&mut self) -> Result<(), String> {
        let (started, mut before) = (Instant::now(), 0.0);
        while started.elapsed() < PATIENCE {
            if let Some(status) = self.process.wait_if_ends(REST) {
                let said: Vec<_> = self.process.stderr().lines().map(str::to_owned).collect();
                return Err(format!("{} ended at once ({status}): {}", self.version, said.join(" ")));
            }
            let now = timed::process_cpu_ms(self.pid());
            if now - before < REST_CPU_MS {
                return Ok(());
            }
            before = now;
        }
        Err(format!("{} did not come to rest within {PATIENCE:?}", self.version))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// For example `bpftune v0.4-2`.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }
}

impl Drop for Bpftune {
    fn drop(&mut self) {
        if !self.process.has_ended() {
            self.process.signal(Signal::TERM);
            // One that stays is killed after this.
            let _ = self.process.wait_if_ends(PATIENCE);
        }
    }
}

/// What it calls itself; `None` where it is not to be had.
fn version() -> Option<String> {
    let output = Command::new("bpftune").arg("--version").stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
