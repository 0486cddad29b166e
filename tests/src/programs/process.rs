//! A program that runs in a cgroup and a network namespace from its first instruction.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, kill_process, pidfd_open};

pub use rustix::process::Signal;

use crate::host::cgroup::Cgroup;
use crate::host::netns::Netns;

/// The shell that becomes the program moves itself first: no instruction of the program runs elsewhere.
const ENTER: &str = r#"[ -z "$1" ] || echo $$ > "$1/cgroup.procs" || exit 126; shift; exec "$@""#;

/// Where a program runs. The default is where the test itself runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    cgroup: Option<&'a Cgroup>,
    netns: Option<&'a Netns>,
}

impl<'a> Place<'a> {
    /// In this cgroup.
    pub fn cgroup(cgroup: &'a Cgroup) -> Self {
        Self { cgroup: Some(cgroup), netns: None }
    }

    /// In this network namespace.
    pub fn netns(netns: &'a Netns) -> Self {
        Self { cgroup: None, netns: Some(netns) }
    }

    /// The same place, in this network namespace.
    #[must_use]
    pub fn on(self, netns: &'a Netns) -> Self {
        Self { netns: Some(netns), ..self }
    }

    fn command(self, program: &str, arguments: &[&str]) -> Command {
        let reset: &[&str] = if ignores_signals() { &["env", "--default-signal=HUP,INT"] } else { &[] };
        let words = [reset, &["sh", "-c", ENTER, "sh"]].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command.arg(self.cgroup.map_or("", Cgroup::path_text));
        if let Some(netns) = self.netns {
            command.args(["nsenter", &format!("--net={}", netns.path()), "--"]);
        }
        command.arg(program).args(arguments);
        command
    }
}

/// Whether we were started with SIGHUP or SIGINT ignored, as in the background of a script: what we start would ignore them,
/// too, and no shell can undo that.
fn ignores_signals() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    ignored.is_some_and(|set| set & 0b11 != 0)
}

/// A running program, spoken to line by line. Dropping it kills it and waits for it.
#[derive(Debug)]
pub struct Process {
    what: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Arc<Mutex<String>>,
    stderr_reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts a program with pipes on stdin, stdout and stderr.
    pub fn spawn(place: Place<'_>, program: &str, arguments: &[&str]) -> Self {
        let what = format!("{program} {}", arguments.join(" "));
        let mut child = place
            .command(program, arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start `{what}`: {error}"));
        let stdin = child.stdin.take();
        let stdout = lines_of(child.stdout.take().expect("stdout was asked for"));
        let stderr = Arc::new(Mutex::new(String::new()));
        let stderr_reader = collect(child.stderr.take().expect("stderr was asked for"), &stderr);
        Self { what, child, stdin, stdout, stderr, stderr_reader: Some(stderr_reader) }
    }

    /// The process id, which is the program's own: the shell before it was replaced, not left waiting.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its stdin.
    pub fn send_line(&mut self, line: &str) {
        let written = self.stdin.as_mut().map(|stdin| writeln!(stdin, "{line}").and_then(|()| stdin.flush()));
        assert!(matches!(written, Some(Ok(()))), "`{}` takes no input: {written:?}\n{}", self.what, self.stderr());
    }

    /// Ends its stdin.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The next line of its stdout, or `None` when none came in time or the stream has ended.
    pub fn line(&mut self, within: Duration) -> Option<String> {
        self.stdout.recv_timeout(within).ok()
    }

    /// The next line of its stdout. Panics with its stderr when none comes in time.
    pub fn expect_line(&mut self, within: Duration) -> String {
        match self.stdout.recv_timeout(within) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                panic!("`{}` printed nothing within {within:?}\n{}", self.what, self.stderr())
            }
            Err(RecvTimeoutError::Disconnected) => {
                panic!("`{}` closed its output\n{}", self.what, self.stderr())
            }
        }
    }

    /// What it wrote to stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.raw_pid(), signal).unwrap_or_else(|error| panic!("cannot signal `{}`: {error}", self.what));
    }

    /// Waits for the end of the program. Panics when it doesn't come in time.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        self.wait_if_ends(within)
            .unwrap_or_else(|| panic!("`{}` still runs after {within:?}\n{}", self.what, self.stderr()))
    }

    /// Waits for the end of the program; `None` when it still runs after that time.
    pub fn wait_if_ends(&mut self, within: Duration) -> Option<ExitStatus> {
        self.close_stdin();
        // Not reaped before here, so the id is still this child's.
        let pidfd = pidfd_open(self.raw_pid(), PidfdFlags::empty()).expect("our own child can be opened");
        let timeout = Timespec::try_from(within).expect("deadlines in tests are short");
        let ended = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)).expect("a pidfd can be polled");
        (ended > 0).then(|| {
            let status = self.child.wait().expect("our own child can be waited for");
            if let Some(reader) = self.stderr_reader.take() {
                let _ = reader.join();
            }
            status
        })
    }

    /// Whether the program has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("our own child can be waited for").is_some()
    }

    /// The unread lines of stdout, after the program has ended.
    pub fn rest(&mut self) -> Vec<String> {
        self.stdout.iter().collect()
    }

    fn raw_pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn collect(stream: impl Read + Send + 'static, into: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let into = Arc::clone(into);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut text = into.lock().unwrap_or_else(PoisonError::into_inner);
            text.push_str(&line);
            text.push('\n');
        }
    })
}

/// What is left of `within` since `started`.
pub(crate) fn left(started: Instant, within: Duration) -> Duration {
    within.saturating_sub(started.elapsed())
}
