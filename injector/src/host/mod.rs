//! Facts about this host, without policy. May use `error`, `printable` and `units`.

pub(crate) mod cgroup;
pub(crate) mod clock;
pub(crate) mod descriptors;
pub(crate) mod endpoint;
pub(crate) mod ethtool;
pub(crate) mod lockdown;
pub(crate) mod logging;
pub(crate) mod netfilter;
pub(crate) mod netns;
pub(crate) mod pidfd;
pub(crate) mod pods;
pub(crate) mod process;
pub(crate) mod signals;
pub(crate) mod sockets;
pub(crate) mod sysctl;
pub(crate) mod tables;
pub(crate) mod trust;
