//! How a run of the binary ended.

use std::os::unix::process::ExitStatusExt;

use serde_json::Value;

use crate::deadline::SOON;
use crate::programs::process::Process;

/// How a run of the binary ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit code; 128 and the signal's number when a signal ended it, as shells say.
    pub code: i32,
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
}

impl Output {
    /// Panics unless the run succeeded.
    #[expect(clippy::return_self_not_must_use, reason = "the check is often all that is wanted")]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// Stdout as one JSON value.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON: {error}\n{self:?}"))
    }

    /// Stdout as one JSON value a line.
    pub fn json_lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON: {error}\n{line}"));
        self.stdout.lines().map(parse).collect()
    }

    /// Waits for the end of a run.
    pub(crate) fn of(mut process: Process) -> Self {
        let status = process.wait(SOON);
        let mut stdout = process.rest().join("\n");
        if !stdout.is_empty() {
            stdout.push('\n');
        }
        Self {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()),
            stdout,
            stderr: process.stderr(),
        }
    }
}
