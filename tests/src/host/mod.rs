//! What a test has of this host for itself: cgroups and network namespaces; and the locks that all share.

pub(crate) mod cgroup;
pub(crate) mod isolation;
pub(crate) mod locks;
pub(crate) mod netns;
pub(crate) mod privilege;
