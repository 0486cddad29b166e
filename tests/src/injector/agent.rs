//! `injector run` under test.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::deadline::{SOON, eventually};
use crate::host::cgroup::Cgroup;
use crate::injector::Injector;
use crate::network::http::{Answer, request};
use crate::programs::output::Output;
use crate::programs::process::{Process, Signal};

/// An agent with a configuration file of its own. Dropping it ends it, and detaches what it left.
#[derive(Debug)]
pub struct Agent {
    injector: Injector,
    directory: TempDir,
    cgroup: PathBuf,
    process: Option<Process>,
}

impl Agent {
    /// Starts one whose cgroups all lie in or below `cgroup`, and waits until it has started. `{cgroup}` in the
    /// configuration stands for its path.
    pub fn start(injector: &Injector, cgroup: &Cgroup, configuration: &str) -> Self {
        Self::start_through(injector, &[], cgroup, configuration)
    }

    /// The same, through another program, which gets the command line as its last arguments and becomes it.
    pub fn start_through(injector: &Injector, wrapper: &[&str], cgroup: &Cgroup, configuration: &str) -> Self {
        let directory = tempfile::tempdir().expect("there is room for a temporary directory");
        let cgroup = cgroup.path().to_owned();
        let mut agent = Self { injector: injector.clone(), directory, cgroup, process: None };
        agent.configure(configuration);
        agent.begin_through(wrapper);
        agent
    }

    /// Starts it again.
    pub fn begin(&mut self) {
        self.begin_through(&[]);
    }

    /// Starts it again by a program that takes it as its arguments.
    pub fn begin_through(&mut self, wrapper: &[&str]) {
        assert!(self.process.is_none(), "it runs already");
        let arguments = ["run", "--config", &self.file(), "--listen", "127.0.0.1:0"];
        self.process = Some(self.injector.spawn_through(wrapper, &arguments));
        self.says("agent started");
    }

    /// The path of its configuration file.
    pub fn file(&self) -> String {
        self.directory.path().join("config.toml").to_string_lossy().into_owned()
    }

    /// Puts another file in the place of its own, as editors do.
    pub fn configure(&self, configuration: &str) {
        let text = configuration.replace("{cgroup}", &self.cgroup.to_string_lossy());
        // As `Injector` does for `attach`.
        let text = if text.contains("loopback") { text } else { format!("loopback = true\n{text}") };
        let written = self.directory.path().join("config.new");
        fs::write(&written, text).expect("the directory is ours");
        fs::rename(&written, self.file()).expect("the directory is ours");
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.process().stderr()
    }

    /// Waits until its log has `what`.
    pub fn says(&self, what: &str) {
        eventually(&format!("{what:?} in the log"), SOON, || {
            let log = self.log();
            assert!(log.contains(what) || !log.contains("injector: "), "{log}");
            log.contains(what).then_some(())
        });
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        let log = self.log();
        let address = log.lines().find(|line| line.contains("listening")).and_then(|line| {
            let rest = &line[line.find("127.0.0.1:")?..];
            let end = rest.find(|char: char| !char.is_ascii_digit() && !".:".contains(char)).unwrap_or(rest.len());
            rest[..end].parse().ok()
        });
        address.unwrap_or_else(|| panic!("no address in\n{log}"))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process().pid()
    }

    /// What it answers to `GET path`.
    pub fn get(&self, path: &str) -> Answer {
        request(self.address(), "GET", path, "")
    }

    /// The value of a metric, named with its labels and without our prefix; `None` where it is not exported.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let answer = self.get("/metrics");
        assert_eq!(answer.code, 200, "{answer:?}");
        let name = format!("injector_{name} ");
        answer.body.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok())
    }

    /// Waits until a metric has this value.
    pub fn shows(&self, name: &str, value: f64) {
        let mut last = None;
        eventually(&format!("{name} is {value}"), SOON, || {
            last = self.metric(name);
            (last == Some(value)).then_some(())
        });
    }

    /// Resident memory and open descriptors.
    pub fn usage(&self) -> (u64, usize) {
        let proc = format!("/proc/{}", self.pid());
        let status = fs::read_to_string(format!("{proc}/status")).expect("it runs");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        let descriptors = fs::read_dir(format!("{proc}/fd")).expect("it runs").count();
        (resident.and_then(|kib| kib.parse::<u64>().ok()).expect("in kB") * 1024, descriptors)
    }

    /// CPU time it has used.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it runs");
        let fields: Vec<_> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().expect("ticks")).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.process().signal(signal);
    }

    /// Sends a signal and waits for the end.
    pub fn stop(&mut self, signal: Signal) -> Output {
        let process = self.process.take().expect("it runs");
        process.signal(signal);
        Output::of(process)
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("it runs")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::TERM);
            let _ = process.wait_if_ends(SOON);
            if std::thread::panicking() {
                let _ = writeln!(std::io::stderr(), "the agent's log:\n{}", process.stderr());
            }
        }
        self.injector.detach_below(&self.cgroup.file_name().unwrap_or_default().to_string_lossy());
    }
}
