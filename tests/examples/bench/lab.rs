//! What the benchmarks have in common.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use injector_tests::{Attachment, Cgroup, Injector, Netns, Place, Process};
use serde_json::Value;
use tempfile::TempDir;

/// Debian's libkeepalive0.
const LIBKEEPALIVE: &str = "/usr/lib/libkeepalive.so.0";
/// Connections that one process may have both ends of on most hosts.
const PER_PROCESS: usize = 8000;
/// For one batch of work.
const PATIENCE: Duration = Duration::from_secs(120);

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) is_quick: bool,
}

impl Effort {
    /// So many pairs.
    pub(crate) const fn rounds(self) -> usize {
        if self.is_quick { 3 } else { 31 }
    }

    /// So much of it, or a tenth.
    pub(crate) const fn amount(self, full: usize) -> usize {
        if self.is_quick { full / 10 } else { full }
    }
}

/// Starts the load generator, which lies beside this program.
pub(crate) fn load(place: Place<'_>, arguments: &[&str]) -> Process {
    Process::spawn(place, &load_path(), arguments)
}

/// The same with libkeepalive loaded into it, which takes its values from the environment.
pub(crate) fn preloaded(place: Place<'_>, values: &[&str], arguments: &[&str]) -> Process {
    let (preload, path) = (format!("LD_PRELOAD={LIBKEEPALIVE}"), load_path());
    Process::spawn(place, "env", &[&[preload.as_str()], values, &[&path], arguments].concat())
}

fn load_path() -> String {
    let own = env::current_exe().expect("a running program has a path");
    own.with_file_name("load").into_os_string().into_string().expect("build paths are UTF-8")
}

/// Opens connections over loopback with both ends in this place, and returns the programs that hold them.
pub(crate) fn hold(netns: &Netns, cgroup: &Cgroup, connections: usize) -> Vec<Process> {
    netns.sysctl("net.ipv4.ip_local_port_range", "1024 65535");
    let parts = (0..connections).step_by(PER_PROCESS).map(|held| (connections - held).min(PER_PROCESS).to_string());
    let start = |part: String| load(Place::cgroup(cgroup).on(netns), &["hold", "--connections", &part]);
    let mut holders: Vec<_> = parts.map(start).collect();
    for holder in &mut holders {
        line(holder);
    }
    holders
}

/// Memory that is available.
pub(crate) fn available_kib() -> usize {
    let meminfo = fs::read_to_string("/proc/meminfo").expect("any user may read it");
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).expect("all current kernels report it")
}

/// The next line of a load generator.
pub(crate) fn line(process: &mut Process) -> String {
    process.expect_line(PATIENCE)
}

/// The next line, which is JSON.
pub(crate) fn json(process: &mut Process) -> Value {
    let line = line(process);
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("not JSON: {error}\n{line}"))
}

/// A number of a report.
pub(crate) fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// A configuration with so many rules. All flows of 127.0.0.1 pass one of them, the rest is for others.
#[derive(Debug)]
pub(crate) struct Config {
    _directory: TempDir,
    path: PathBuf,
}

impl Config {
    pub(crate) fn with_rules(count: usize) -> Self {
        let directory = tempfile::tempdir().expect("there is room for a temporary directory");
        let path = directory.path().join("injector.toml");
        let mut text = String::new();
        for rule in 0..count {
            let remote =
                if rule == 0 { "127.0.0.1".to_owned() } else { format!("10.{}.{}.0/24", rule / 256, rule % 256) };
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "[[hop]]\nname = \"hop-{rule}\"\nkind = \"nlb-tcp\"\ntimeout = \"350s\"\nremote = \"{remote}\""
            );
        }
        fs::write(&path, text).unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
        Self { _directory: directory, path }
    }

    pub(crate) fn path(&self) -> &str {
        self.path.to_str().expect("temporary paths are UTF-8")
    }
}

/// Attaches without a process, where there is anything to attach.
pub(crate) fn attach(cgroup: &Cgroup, arguments: Option<&[&str]>) -> Option<Attachment> {
    arguments.map(|arguments| Injector::find().attach_detached(cgroup, arguments))
}

/// The alternatives of a round in an order of chance, so that none always comes after the same one.
pub(crate) fn shuffled(count: usize) -> Vec<usize> {
    let mut order: Vec<_> = (0..count).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    let mut seed = now.subsec_nanos() as usize;
    for place in (1..count).rev() {
        order.swap(place, seed % (place + 1));
        seed /= place + 1;
    }
    order
}
