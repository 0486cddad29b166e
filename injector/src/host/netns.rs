//! Network namespaces of this host's processes.

use std::{
    collections::HashSet,
    fs::{self, File},
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    thread,
};

use procfs::process::all_processes;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Netns {
    /// The kernel's number of it.
    pub inode: u64,
    /// A task that is in it, as a directory of `/proc`.
    task: PathBuf,
}

impl Netns {
    /// The one that a process is in; that of another of its threads where the
    /// main one has ended. `None` where that can't be seen.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let main = PathBuf::from(format!("/proc/{pid}"));
        Self::of_task(main).or_else(|| {
            let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
            threads.flatten().find_map(|thread| Self::of_task(thread.path()))
        })
    }

    fn of_task(task: PathBuf) -> Option<Self> {
        let inode = fs::metadata(task.join("ns/net")).ok()?.ino();
        Some(Self { inode, task })
    }

    /// Those of all processes, each once.
    pub(crate) fn all() -> Vec<Self> {
        let mut seen = HashSet::new();
        let processes = all_processes().into_iter().flatten().flatten();
        let namespaces = processes.filter_map(|process| Self::of(process.pid));
        namespaces.filter(|namespace| seen.insert(namespace.inode)).collect()
    }

    /// What `look` sees from inside: `/proc/sys/net`, netlink. `None` where we
    /// may not go there, which takes `CAP_SYS_ADMIN`.
    pub(crate) fn inside<T: Send>(&self, look: impl FnOnce() -> T + Send) -> Option<T> {
        if Self::of_task("/proc/thread-self".into()).is_some_and(|own| own.inode == self.inode) {
            return Some(look());
        }
        let namespace = File::open(self.task.join("ns/net")).ok()?;
        // A thread of its own: namespaces are joined by threads.
        let visit = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).ok()?;
            Some(look())
        };
        thread::scope(|scope| scope.spawn(visit).join().ok().flatten())
    }

    /// A file of it below `/proc/PID/net`, which can be read from outside.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.task.join("net").join(Path::new(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_namespace_is_among_all() {
        let own = Netns::of(i32::try_from(std::process::id()).expect("fits")).expect("there is one");
        assert!(Netns::all().iter().any(|namespace| namespace.inode == own.inode));
        assert_eq!(own.inside(|| 7), Some(7));
        assert!(own.file("tcp").exists());
        assert_eq!(Netns::of(i32::MAX), None);
    }
}
