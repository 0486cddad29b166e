//! The processes of a cgroup and of those below it.

use std::{
    collections::{HashMap, HashSet},
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use procfs::process::Process;

use super::{directory, tree};

/// A process of a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resident {
    /// Its id in our namespace; 0 where it is not visible there.
    pub pid: i32,
    /// The kernel's id of the very cgroup it is in.
    pub cgroup_id: u64,
    /// Some of its threads are in a threaded cgroup of the tree, and the process
    /// as a whole is not in the tree.
    pub is_partial: bool,
}

/// The processes in the cgroup at `path` (relative to the mount) and in those
/// below it, each once, and once for each that is not visible.
pub(crate) fn residents(path: &Path) -> anyhow::Result<Vec<Resident>> {
    let mut whole = Vec::new();
    let mut threads = Vec::new();
    for directory in tree(&directory(path)?) {
        let Ok(id) = fs::symlink_metadata(&directory).map(|metadata| metadata.ino()) else { continue };
        if let Ok(text) = fs::read_to_string(directory.join("cgroup.procs")) {
            whole.extend(numbers(&text).map(|pid| (pid, id)));
        } else {
            // A threaded cgroup lists threads alone.
            let text = fs::read_to_string(directory.join("cgroup.threads")).unwrap_or_default();
            threads.extend(numbers(&text).map(|thread| (thread, id)));
        }
    }
    Ok(merged(whole, &threads, process_of))
}

fn merged(whole: Vec<(i32, u64)>, threads: &[(i32, u64)], process_of: impl Fn(i32) -> Option<i32>) -> Vec<Resident> {
    let mut seen = HashSet::new();
    let mut partial = HashMap::new();
    for &(thread, cgroup_id) in threads {
        if let Some(pid) = process_of(thread) {
            partial.entry(pid).or_insert(cgroup_id);
        }
    }
    let whole = whole.into_iter().map(|(pid, cgroup_id)| Resident { pid, cgroup_id, is_partial: false });
    let partial = partial.into_iter().map(|(pid, cgroup_id)| Resident { pid, cgroup_id, is_partial: true });
    whole.chain(partial).filter(|resident| resident.pid == 0 || seen.insert(resident.pid)).collect()
}

/// The process of a thread; `None` where it has ended.
fn process_of(thread: i32) -> Option<i32> {
    if thread == 0 {
        return Some(0);
    }
    Some(Process::new(thread).ok()?.status().ok()?.tgid)
}

fn numbers(text: &str) -> impl Iterator<Item = i32> {
    text.lines().filter_map(|line| line.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_counts_once_and_as_a_whole_where_it_can() {
        let process_of = |thread: i32| (thread != 9).then_some(thread / 10 * 10);
        let resident = |pid, cgroup_id, is_partial| Resident { pid, cgroup_id, is_partial };
        let found = merged(vec![(10, 1), (0, 1), (0, 1), (10, 1)], &[(11, 2), (12, 2), (21, 2), (9, 2)], process_of);
        let expected =
            vec![resident(10, 1, false), resident(0, 1, false), resident(0, 1, false), resident(20, 2, true)];
        assert_eq!(found, expected);
    }

    #[test]
    fn threads_lead_to_their_process() {
        let own = i32::try_from(std::process::id()).expect("fits");
        let thread = std::thread::spawn(|| process_of(rustix::thread::gettid().as_raw_nonzero().get()));
        assert_eq!(thread.join().expect("it ends"), Some(own));
        assert_eq!((process_of(0), process_of(i32::MAX)), (Some(0), None));
    }
}
