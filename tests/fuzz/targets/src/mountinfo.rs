//! `/proc/self/mountinfo`.

use injector::internals::{cgroup2_mounts, whole};

/// Lines of mounts. None of them hides the host's own cgroup v2.
pub fn mountinfo(bytes: &[u8]) {
    let host = b"\n41 31 0:38 /../../../../../../../../../../../../../../../../../../.. /found rw - cgroup2 none rw\n";
    let mounts = cgroup2_mounts(&[bytes, host].concat());
    let deeper = bytes.windows(3).filter(|part| part == b"/..").count() >= 19;
    assert!(deeper || whole(&mounts).is_some_and(|mount| mount.point.ends_with("found")));
}
