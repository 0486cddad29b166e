//! An attachment that a test made, and what can be asked about it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::deadline::{SOON, eventually};
use crate::host::cgroup::Cgroup;
use crate::injector::Injector;
use crate::injector::reports::{AttachmentStatus, Flow};
use crate::programs::output::Output;
use crate::programs::process::{Process, Signal};

/// Where attachments of this ABI are pinned.
pub const PINS: &str = "/sys/fs/bpf/injector/v1";

/// An attachment. Dropping it detaches.
#[derive(Debug)]
pub struct Attachment {
    pub(crate) injector: Injector,
    pub(crate) name: String,
    pub(crate) first_line: String,
    pub(crate) process: Option<Process>,
}

impl Attachment {
    /// The name it is pinned under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first line that `attach` printed.
    pub fn first_line(&self) -> &str {
        &self.first_line
    }

    /// The process id of the attached program.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs in the foreground").pid()
    }

    /// What `attach` wrote to stderr so far.
    pub fn stderr(&self) -> String {
        self.process.as_ref().expect("it runs in the foreground").stderr()
    }

    /// Waits until `attach` has written `what` to stderr.
    pub fn says(&self, what: &str) {
        eventually(what, SOON, || self.stderr().contains(what).then_some(()));
    }

    /// The directory of its pins.
    pub fn directory(&self) -> PathBuf {
        Path::new(PINS).join(&self.name)
    }

    /// The directories in it: one for each generation of programs and parameters that has pins.
    pub fn generations(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory()).expect("it is pinned").flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }

    /// The next line that `attach` prints, or `None` when none comes in time.
    pub fn line(&mut self, within: Duration) -> Option<String> {
        self.process.as_mut().and_then(|process| process.line(within))
    }

    /// The next event of `attach -o jsonl`, or `None` when none comes in time.
    pub fn event(&mut self, within: Duration) -> Option<Value> {
        let line = self.line(within)?;
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("not JSON: {error}\n{line}")))
    }

    /// The attachment's flows, in the order of `flows` itself.
    pub fn flows(&self) -> Vec<Flow> {
        self.injector.flows(&self.name)
    }

    /// The attachment's status.
    pub fn status(&self) -> AttachmentStatus {
        self.injector.status(&self.name)
    }

    /// Sends the foreground process a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("it runs in the foreground").signal(signal);
    }

    /// Sends the foreground process a signal and waits for its end. Stdout is what was not read before.
    pub fn stop(&mut self, signal: Signal) -> Output {
        let process = self.process.take().expect("it runs in the foreground");
        process.signal(signal);
        Output::of(process)
    }

    /// Attaches again under the same name, now that the process has ended.
    pub fn take_over(&mut self, cgroup: &Cgroup, arguments: &[&str]) {
        assert!(self.process.is_none(), "its process still runs");
        let named = [&["--name", &self.name], arguments].concat();
        let (process, first_line) = self.injector.start(cgroup, &named);
        (self.process, self.first_line) = (Some(process), first_line);
    }

    /// Waits for the foreground process to end by itself.
    pub fn end(&mut self) -> Output {
        Output::of(self.process.take().expect("it runs in the foreground"))
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::TERM);
            let _ = process.wait_if_ends(SOON);
        }
        // For runs with --detach or --keep, and for processes that died of something else.
        if is_pinned(&self.name) {
            let _ = self.injector.run(&["detach", "--name", &self.name]);
        }
    }
}

/// Moves the pins of an attachment to where an injector with another pin layout would have them.
pub fn move_to_other_version(name: &str) -> PathBuf {
    let (from, version) = (Path::new(PINS).join(name), Path::new(PINS).with_file_name("v0"));
    // The process that removes the last one there removes the directory.
    eventually("the pins are moved", SOON, || {
        fs::create_dir_all(&version).ok()?;
        fs::rename(&from, version.join(name)).ok()
    });
    version.join(name)
}

/// The names of what is pinned for an attachment, sorted; `None` when its directory is not there.
pub fn pins(name: &str) -> Option<Vec<String>> {
    let directory = fs::read_dir(Path::new(PINS).join(name)).ok()?;
    let mut names: Vec<String> = directory.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    Some(names)
}

/// Whether anything is pinned under that name, in whatever layout.
fn is_pinned(name: &str) -> bool {
    let versions = Path::new(PINS).parent().map(fs::read_dir).into_iter().flatten().flatten().flatten();
    versions.into_iter().any(|version| version.path().join(name).exists())
}
