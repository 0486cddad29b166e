//! Facts about this host, without policy. May use `error`, `printable` and `units`.

pub mod cgroup;
pub mod clock;
pub mod descriptors;
pub mod endpoint;
pub mod ethtool;
pub mod lockdown;
pub mod logging;
pub mod netfilter;
pub mod netns;
pub mod pidfd;
pub mod pods;
pub mod process;
pub mod signals;
pub mod sockets;
pub mod sysctl;
pub mod tables;
pub mod trust;
