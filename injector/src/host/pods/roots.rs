//! Below which cgroups the kubelet keeps its pods.
//!
//! A path identifies a pod only where no other process can create it. The owner of a delegated cgroup may name children
//! as the kubelet does, but only the kubelet creates cgroups below its own.

use super::cgroup_path::{PodRef, pod_below};

/// The kubelet's cgroups `kubepods`, as paths below the cgroup v2 mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRoots(Vec<String>);

/// The kubelet's defaults, without a `--cgroup-root`: the cgroupfs driver and the systemd driver; both again for kind,
/// whose nodes have `--cgroup-root=/kubelet`; and containerd's own, where it has the cgroupfs driver and the kubelet
/// the systemd driver.
const DEFAULT: [&str; 5] = [
    "/kubepods",
    "/kubepods.slice",
    "/kubelet/kubepods",
    "/kubelet.slice/kubelet-kubepods.slice",
    "/system.slice/containerd.service",
];

impl Default for PodRoots {
    fn default() -> Self {
        Self(DEFAULT.map(str::to_owned).into())
    }
}

impl PodRoots {
    /// These and no others.
    pub fn new(paths: impl IntoIterator<Item = String>) -> Self {
        Self(paths.into_iter().map(|path| format!("/{}", path.trim_matches('/'))).collect())
    }

    /// Their paths.
    pub fn paths(&self) -> &[String] {
        &self.0
    }

    /// The pod that the cgroup at `path`, which is relative to the cgroup mount, belongs to: the pod's own cgroup, a
    /// container's, or any below. Of pods within pods (a cluster that runs in a pod) it is the outermost, the one that this
    /// node's kubelet knows.
    pub fn pod_of(&self, path: &str) -> Option<PodRef> {
        let path = format!("/{}", path.trim_start_matches('/'));
        self.0.iter().find_map(|root| pod_below(path.strip_prefix(root.as_str())?.strip_prefix('/')?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "kubepods/burstable/pod1858680e-b044-4fd5-9dd4-f137e30e2180";

    /// SECURITY.md#pods
    #[test]
    fn owners_of_other_cgroups_make_no_pods() {
        let roots = PodRoots::default();
        assert!(roots.pod_of(&format!("/{POD}")).is_some() && roots.pod_of(&format!("/kubelet/{POD}")).is_some());
        for above in [
            "/user.slice/user-1000.slice/user@1000.service",
            "/system.slice/docker-5694f82f44168cc048e014ae14d1b0c8ef673bec49f329dc169911ea638f63c2.scope",
            "/notkubelet",
            "/kubepods.slice.mine",
            "/kubepods2",
            "/..",
        ] {
            assert_eq!(roots.pod_of(&format!("{above}/{POD}")), None, "{above}");
        }
    }

    #[test]
    fn a_node_in_a_container_is_recognised() {
        let roots = PodRoots::new(["system.slice/docker-x.scope/kubelet/kubepods/".to_owned()]);
        assert!(roots.pod_of(&format!("/system.slice/docker-x.scope/kubelet/{POD}")).is_some());
        assert_eq!(roots.pod_of(&format!("/{POD}")), None);
    }
}
