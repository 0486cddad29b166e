//! Paths of cgroups, as the kernel writes them: the user who makes the directory chooses its name.

use std::path::Path;

use injector::internals::{Pattern, PinDir, PodRoots, workload_of};

/// A path a line.
pub fn cgroup_paths(bytes: &[u8]) {
    for path in super::lines(bytes) {
        if let Some(pod) = PodRoots::default().pod_of(&path) {
            assert!(matches!(pod.uid.len(), 32 | 36) && pod.uid.is_ascii(), "{path}");
            assert!(pod.container_id.is_none_or(|id| id.len() == 64 && id.is_ascii()), "{path}");
        }
        assert!(path.starts_with(workload_of(&path)), "{path}");
        let name = PinDir::for_cgroup(Path::new(&path)).name().to_owned();
        assert!(PinDir::named(&name).is_ok(), "{path} becomes {name}");
        if let Ok(pattern) = path.parse::<Pattern>() {
            pattern.covers("/kubepods/burstable");
            assert!(path.contains(['*', '?', '[']) || pattern.covers(&path), "{path}");
        }
    }
}
