//! `/proc/self/mountinfo`.

use injector::cgroup::cgroup2_mount;

/// Lines of mounts. None of them hides the host's own cgroup v2.
pub fn mountinfo(bytes: &[u8]) {
    let host = b"\n41 31 0:38 /../../../../../../../../../../../../../../../../../../.. /found rw - cgroup2 none rw\n";
    let found = cgroup2_mount(&[bytes, host].concat());
    let deeper = bytes.windows(3).filter(|part| part == b"/..").count() >= 19;
    assert!(deeper || found.is_some_and(|point| point.ends_with("found")));
}
