//! What each scenario starts from.

use std::fs;
use std::net::{IpAddr, TcpStream};
use std::path::{Path, PathBuf};

use injector_tests::{Attachment, Cgroup, Flow, Injector, cgroup_mount};

use crate::socket::{Pair, cookie, join, listen, open};

/// Exit codes of `injector`: this host lacks something.
pub(crate) const UNSUPPORTED: i32 = 3;
/// There is something to look at.
pub(crate) const FINDINGS: i32 = 5;

/// A cgroup to attach to, which this program can step into.
pub(crate) struct Scene {
    pub(crate) injector: Injector,
    pub(crate) cgroup: Cgroup,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self { injector: Injector::find(), cgroup: Cgroup::new("guest") }
    }

    /// Attaches without a process left behind.
    pub(crate) fn attach(&self, arguments: &[&str]) -> Attachment {
        self.injector.attach_detached(&self.cgroup, arguments)
    }

    /// Has this program in the cgroup meanwhile: a socket belongs to the cgroup it was made in, and an accepted one to
    /// its listener's.
    pub(crate) fn inside<T>(&self, make: impl FnOnce() -> T) -> T {
        inside(&self.cgroup, make)
    }

    /// A connection with both ends in the cgroup.
    pub(crate) fn pair(&self, address: IpAddr) -> Pair {
        pair_in(&self.cgroup, address)
    }
}

fn inside<T>(cgroup: &Cgroup, make: impl FnOnce() -> T) -> T {
    let _stay = Stay::enter(cgroup.path());
    make()
}

/// A connection with both ends in this cgroup.
pub(crate) fn pair_in(cgroup: &Cgroup, address: IpAddr) -> Pair {
    inside(cgroup, || join(open(address), &listen(address)))
}

/// The flow of a socket.
#[track_caller]
pub(crate) fn flow_of(attachment: &Attachment, socket: &TcpStream) -> Flow {
    let flows = attachment.flows();
    let listed = format!("{flows:?}");
    let cookie = cookie(socket);
    let found = flows.into_iter().find(|flow| flow.cookie == cookie);
    found.unwrap_or_else(|| panic!("no flow with cookie {cookie} among {listed}"))
}

/// Dropping it goes back to where this program was.
struct Stay {
    before: PathBuf,
}

impl Stay {
    fn enter(cgroup: &Path) -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").expect("procfs is mounted");
        let before = own.lines().find_map(|line| line.strip_prefix("0::/")).expect("cgroup v2 is mounted");
        let before = cgroup_mount().join(before);
        step(cgroup);
        Self { before }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        step(&self.before);
    }
}

fn step(cgroup: &Path) {
    let procs = cgroup.join("cgroup.procs");
    // "0" is the writer.
    fs::write(&procs, "0").unwrap_or_else(|error| panic!("writing {}: {error}", procs.display()));
}
