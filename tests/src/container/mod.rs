//! The agent as a container: the image that ships, run by crun the way the manifest that ships asks for.

pub(crate) mod daemonset;
pub(crate) mod image;
pub(crate) mod seccomp;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::container::daemonset::DaemonSet;
use crate::container::image::Image;
use crate::deadline::{SOON, eventually};
use crate::host::cgroup::{Cgroup, mount_point};
use crate::host::isolation::BPFFS;
use crate::host::netns::Netns;
use crate::injector::Injector;
use crate::network::http::{Answer, request};
use crate::programs::output::Output;
use crate::programs::process::{Place, Process};
use crate::unique::unique_name;

/// The setting of the configuration that ships which other tests would be hit by.
const EVERY_POD: &str = r#"cgroups = ["kubepods*", "kubelet*/*kubepods*"]"#;
/// Where a node has cgroup v2.
const CGROUPS: &str = "/sys/fs/cgroup";
/// Makes this machine one, for the program that follows: hybrid hosts have it elsewhere, and crun does not take them.
const NODE: &str = r#"mount --bind "$0" "$1" && shift && exec "$@""#;

/// A container of the agent. Dropping it ends it, and detaches what it left.
#[derive(Debug)]
pub struct Container {
    injector: Injector,
    daemonset: DaemonSet,
    netns: Netns,
    /// `bundle` is what crun runs, `config` its configuration, `logs` the node's log directories.
    directory: TempDir,
    kubelet: String,
    running: Option<(String, Process)>,
}

impl Container {
    /// Makes one for a node whose `kubepods` lie in `kubelet`. It is not started yet.
    pub fn new(kubelet: &Cgroup) -> Self {
        let directory = tempfile::tempdir().expect("there is room for a temporary directory");
        for name in ["config", "logs/pods", "logs/containers"] {
            fs::create_dir_all(directory.path().join(name)).expect("the directory is ours");
        }
        let daemonset = DaemonSet::shipped();
        let (below, text) = (kubelet.kernel_path(), daemonset.configuration());
        assert!(text.contains(EVERY_POD), "{text}");
        let own =
            EVERY_POD.replace("[\"", &format!("[\"{}/", &below[1..])).replace(", \"", &format!(", \"{}/", &below[1..]));
        let roots = ["kubepods", "kubepods.slice"].map(|root| format!("{:?}", format!("{below}/{root}")));
        let text = text.replace(EVERY_POD, &format!("{own}\npod_cgroups = [{}]", roots.join(", ")));
        fs::write(directory.path().join("config/config.toml"), text).expect("the directory is ours");
        Image::find().unpack(&directory.path().join("bundle"));
        let container = Self {
            injector: Injector::find(),
            netns: Netns::new("pod"),
            daemonset,
            directory,
            kubelet: below[1..].to_owned(),
            running: None,
        };
        let capabilities = container.daemonset.capabilities();
        container.configure(&capabilities);
        container
    }

    /// What the node has as `/var/log`.
    pub fn logs(&self) -> PathBuf {
        self.directory.path().join("logs")
    }

    /// Starts it, and waits until every probe succeeds.
    pub fn start(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        self.running = Some(self.spawn());
        for (path, _) in self.daemonset.probes() {
            eventually(&format!("{path} succeeds"), SOON, || {
                assert!(!self.log().contains("injector: "), "{}", self.log());
                (self.get_if_answered(&path)?.code == 200).then_some(())
            });
        }
    }

    /// Runs it to its end with these capabilities.
    pub fn run_with(&self, capabilities: &[String]) -> Output {
        self.configure(capabilities);
        let (name, process) = self.spawn();
        let output = Output::of(process);
        delete(&name);
        output
    }

    /// The capabilities that it has.
    pub fn capabilities(&self) -> Vec<String> {
        self.daemonset.capabilities()
    }

    /// Kills it, as the kernel does when it is out of memory.
    pub fn kill(&mut self) {
        let (name, mut process) = self.running.take().expect("it runs");
        crun(&["kill", &name, "KILL"]).wait(SOON);
        process.wait(SOON);
        delete(&name);
    }

    /// What it answers to `GET path`, asked from its own network.
    pub fn get(&self, path: &str) -> Answer {
        self.get_if_answered(path).unwrap_or_else(|| panic!("no answer to {path}"))
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.running.as_ref().expect("it runs").1.stderr()
    }

    fn get_if_answered(&self, path: &str) -> Option<Answer> {
        let (_, port) = self.daemonset.probes().into_iter().next().expect("there are probes");
        self.netns.within(|| {
            let address = ([127, 0, 0, 1], port).into();
            std::net::TcpStream::connect(address).ok()?;
            Some(request(address, "GET", path, ""))
        })
    }

    fn spawn(&self) -> (String, Process) {
        let (name, bundle) = (unique_name("container"), self.bundle());
        (name.clone(), crun(&["run", "--bundle", &bundle, &name]))
    }

    /// Writes what the container is run with.
    fn configure(&self, capabilities: &[String]) {
        let path = Path::new(&self.bundle()).join("config.json");
        let original = path.with_extension("image.json");
        if !original.exists() {
            fs::copy(&path, &original).expect("umoci wrote it");
        }
        let text = fs::read_to_string(original).expect("umoci wrote it");
        let mut spec: Value = serde_json::from_str(&text).expect("umoci writes JSON");
        let own = |name: &str| self.directory.path().join(name).display().to_string();
        self.daemonset.apply(&mut spec, capabilities, &self.netns, |path| match path {
            "/var/log/pods" => own("logs/pods"),
            "/var/log/containers" => own("logs/containers"),
            "config" => own("config"),
            _ => {
                assert!(path == CGROUPS || path == BPFFS, "{path}");
                path.to_owned()
            }
        });
        // A cgroup beside the pods', where the kubelet would have it as one of them.
        spec["linux"]["cgroupsPath"] = format!("/{}/agent", self.kubelet).into();
        fs::write(path, spec.to_string()).expect("the directory is ours");
    }

    fn bundle(&self) -> String {
        self.directory.path().join("bundle").display().to_string()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some((name, mut process)) = self.running.take() {
            let _ = crun(&["kill", &name, "TERM"]).wait_if_ends(SOON);
            let _ = process.wait_if_ends(SOON);
            delete(&name);
        }
        self.injector.detach_below(&self.kubelet);
    }
}

fn crun(arguments: &[&str]) -> Process {
    let mount = mount_point().display().to_string();
    let node = ["--mount", "sh", "-c", NODE, &mount, CGROUPS, "crun", "--cgroup-manager=cgroupfs"];
    Process::spawn(Place::default(), "unshare", &[&node, arguments].concat())
}

fn delete(name: &str) {
    // There is nothing to delete where crun has done so at the end.
    let _ = crun(&["delete", "--force", name]).wait_if_ends(SOON);
}
