//! The `injector` binary under test.

pub(crate) mod adoption;
pub(crate) mod agent;
pub(crate) mod attachment;
pub(crate) mod reports;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;

use crate::deadline::SOON;
use crate::host::cgroup::Cgroup;
use crate::host::isolation::isolate;
use crate::injector::attachment::{Attachment, PINS};
use crate::injector::reports::{AttachmentStatus, Flow};
use crate::programs::command::tool;
use crate::programs::output::Output;
use crate::programs::process::{Place, Process};

/// Names the binary to test, where it is not beside the test's own.
const BINARY_VARIABLE: &str = "INJECTOR_BIN";
/// Names one that is linked dynamically, where that one is not.
const DYNAMIC_VARIABLE: &str = "INJECTOR_DYNAMIC";

/// The binary.
#[derive(Clone, Debug)]
pub struct Injector {
    binary: PathBuf,
    /// Most tests connect within this host, and still want limits.
    loopback: bool,
}

impl Injector {
    /// Finds the binary: `INJECTOR_BIN`, or the one that cargo built beside this program.
    pub fn find() -> Self {
        Self::at(std::env::var_os(BINARY_VARIABLE).map_or_else(built_beside, PathBuf::from))
    }

    /// A binary that preloaded libraries can get into: `INJECTOR_DYNAMIC`, or that of [`Self::find`].
    pub fn dynamic() -> Self {
        let injector = std::env::var_os(DYNAMIC_VARIABLE).map_or_else(Self::find, |path| Self::at(path.into()));
        let needs = tool("ldd", &[injector.binary()]);
        assert!(needs.contains("libc.so"), "{} takes no libraries: set {DYNAMIC_VARIABLE}", injector.binary());
        injector
    }

    /// Takes the binary at this path.
    pub fn at(binary: PathBuf) -> Self {
        isolate();
        assert!(
            binary.is_file(),
            "no injector binary at {}: build it (`cargo build -p injector`) or set {BINARY_VARIABLE}",
            binary.display()
        );
        Self { binary, loopback: true }
    }

    /// One that attaches without `--loopback`, as users do.
    #[must_use]
    pub fn without_loopback(&self) -> Self {
        Self { loopback: false, ..self.clone() }
    }

    /// The command line, with `--loopback` where that is for it.
    fn command<'a>(&'a self, wrapper: &[&'a str], arguments: &[&'a str]) -> Vec<&'a str> {
        let is_attach = self.loopback && arguments.first() == Some(&"attach");
        let (verb, rest) = arguments.split_at(usize::from(is_attach));
        let loopback: &[&str] = if is_attach { &["--loopback"] } else { &[] };
        [wrapper, &[self.binary()], verb, loopback, rest].concat()
    }

    /// Starts it.
    pub fn spawn(&self, arguments: &[&str]) -> Process {
        self.spawn_through(&[], arguments)
    }

    /// The path of the binary.
    pub fn binary(&self) -> &str {
        self.binary.to_str().expect("build paths are UTF-8")
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        Output::of(self.spawn(arguments))
    }

    /// Runs it to its end through another program, which gets the command line as its last arguments:
    /// `["setpriv", "--reuid", "65534"]`.
    pub fn run_through(&self, wrapper: &[&str], arguments: &[&str]) -> Output {
        Output::of(self.spawn_through(wrapper, arguments))
    }

    /// Starts it through another program, which gets the command line as its last arguments.
    pub fn spawn_through(&self, wrapper: &[&str], arguments: &[&str]) -> Process {
        let command = self.command(wrapper, arguments);
        Process::spawn(Place::default(), command[0], &command[1..])
    }

    /// The flows of an attachment, in the order of `flows` itself.
    pub fn flows(&self, name: &str) -> Vec<Flow> {
        let document = self.run(&["flows", "--name", name, "-o", "json"]).ok().json();
        assert_eq!(document["schema"], "injector.flows/v1");
        typed(&document["flows"])
    }

    /// The status of an attachment.
    pub fn status(&self, name: &str) -> AttachmentStatus {
        let document = self.run(&["status", "-o", "json"]).ok().json();
        assert_eq!(document["schema"], "injector.status/v1");
        let attachments = document["attachments"].as_array().expect("attachments are listed");
        let found = attachments.iter().find(|attachment| attachment["name"] == name);
        typed(found.unwrap_or_else(|| panic!("status does not list {name}: {document:#}")))
    }

    /// Name of the attachment to a cgroup, whatever it was derived from.
    pub fn attachment_to(&self, cgroup: &Cgroup) -> String {
        let document = self.run(&["status", "-o", "json"]).ok().json();
        let attachments = document["attachments"].as_array().expect("attachments are listed");
        let found = attachments.iter().find(|attachment| attachment["cgroup"] == cgroup.kernel_path());
        let found = found.unwrap_or_else(|| panic!("status does not list {}: {document:#}", cgroup.kernel_path()));
        found["name"].as_str().expect("a name").to_owned()
    }

    /// A copy of the binary that every user of this machine can run: build directories are often private.
    pub fn for_everyone(&self) -> (Self, TempDir) {
        let directory = tempfile::tempdir().expect("there is room for a temporary directory");
        let everyone = Permissions::from_mode(0o755);
        fs::set_permissions(directory.path(), everyone).expect("the directory is ours");
        let binary = directory.path().join("injector");
        // Not written by this process: a child forked meanwhile would hold the file open, and it could not be run.
        tool("install", &["--mode", "755", self.binary(), &binary.to_string_lossy()]);
        (Self { binary, ..self.clone() }, directory)
    }

    /// The states that `status` reports for a name: none, or one for each pin layout that has it.
    pub fn states(&self, name: &str) -> Vec<String> {
        let document = self.run(&["status", "-o", "json"]).ok().json();
        let attachments = document["attachments"].as_array().expect("attachments are listed");
        let found = attachments.iter().filter(|attachment| attachment["name"] == name);
        found.map(|attachment| attachment["state"].as_str().expect("each has a state").to_owned()).collect()
    }

    /// Attaches to a cgroup in the foreground, and returns once the attachment works.
    pub fn attach(&self, cgroup: &Cgroup, arguments: &[&str]) -> Attachment {
        let (process, first_line) = self.start(cgroup, arguments);
        Attachment {
            injector: self.clone(),
            name: name_in(arguments).unwrap_or_else(|| cgroup.attachment_name()),
            first_line,
            process: Some(process),
        }
    }

    /// Runs `attach` until it says that it has attached.
    pub(crate) fn start(&self, cgroup: &Cgroup, arguments: &[&str]) -> (Process, String) {
        let command = [&["attach", "--cgroup", cgroup.path_text()], arguments].concat();
        let mut process = self.spawn(&command);
        let first_line = process.expect_line(SOON);
        assert!(
            first_line.starts_with("attached ") || first_line.contains(r#""event":"attached""#),
            "instead of `attached`: {first_line}"
        );
        (process, first_line)
    }

    /// The duty to clean up after what a test attaches by itself.
    pub fn clean_up_after(&self, cgroup: &Cgroup) -> Attachment {
        Attachment { injector: self.clone(), name: cgroup.attachment_name(), first_line: String::new(), process: None }
    }

    /// Detaches from the cgroup of this name, directly below the mount, and from all in it.
    pub(crate) fn detach_below(&self, cgroup: &str) {
        let entries = fs::read_dir(PINS).into_iter().flatten().flatten();
        for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
            if name == cgroup || name.starts_with(&format!("{cgroup}-")) {
                let _ = self.run(&["detach", "--name", &name]);
            }
        }
    }

    /// Attaches with `--detach`: the guard holds no process, only the duty to clean up.
    pub fn attach_detached(&self, cgroup: &Cgroup, arguments: &[&str]) -> Attachment {
        let command = [&["attach", "--detach", "--cgroup", cgroup.path_text()], arguments].concat();
        let output = self.run(&command).ok();
        Attachment {
            injector: self.clone(),
            name: name_in(arguments).unwrap_or_else(|| cgroup.attachment_name()),
            first_line: output.stdout.lines().next().unwrap_or_default().to_owned(),
            process: None,
        }
    }
}

fn name_in(arguments: &[&str]) -> Option<String> {
    let at = arguments.iter().position(|argument| *argument == "--name")?;
    arguments.get(at + 1).map(|name| (*name).to_owned())
}

/// Cargo puts binaries into `target/PROFILE/` and tests into `target/PROFILE/deps/`.
fn built_beside() -> PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    let directory = own.parent().expect("a program lies in a directory");
    let directory =
        if directory.ends_with("deps") { directory.parent().expect("`deps` lies in a directory") } else { directory };
    directory.join("injector")
}

fn typed<T: DeserializeOwned>(value: &Value) -> T {
    T::deserialize(value).unwrap_or_else(|error| panic!("not as documented: {error}\n{value:#}"))
}
