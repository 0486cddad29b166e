//! A network namespace that is gone when the guard is dropped.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::host::isolation::isolate;
use crate::programs::command::{pipe, tool};
use crate::unique::unique_name;

/// A network namespace of its own with the loopback device up.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes the namespace.
    pub fn new(role: &str) -> Self {
        isolate();
        let namespace = Self { name: unique_name(role) };
        tool("ip", &["netns", "add", &namespace.name]);
        // Addresses are ours alone here: don't wait a second for each to be found unique.
        namespace.sysctl("net.ipv6.conf.all.accept_dad", "0");
        namespace.sysctl("net.ipv6.conf.default.accept_dad", "0");
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    /// The file that `nsenter` and `setns` take.
    pub fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    /// The namespace's inode, which is how the kernel names it.
    pub fn inode(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(self.path()).expect("the guard keeps its namespace").ino()
    }

    /// Runs `ip` inside.
    pub fn ip(&self, arguments: &[&str]) -> String {
        tool("ip", &[&["-n", &self.name], arguments].concat())
    }

    /// Runs a tool inside. Only the network changes: unlike `ip netns exec`, which mounts a new /sys, bpffs stays in sight.
    pub fn tool(&self, program: &str, arguments: &[&str]) -> String {
        let enter = format!("--net={}", self.path());
        tool("nsenter", &[&[enter.as_str(), program], arguments].concat())
    }

    /// Does something of this program inside.
    pub fn within<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(self.path()).expect("the guard keeps its namespace");
        let enter = || move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network));
        // A namespace is a thread's.
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                enter().expect("root may enter");
                action()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Sets a network sysctl inside, for example `net.ipv4.ip_forward`.
    pub fn sysctl(&self, key: &str, value: &str) {
        self.tool("sysctl", &["-q", "-w", &format!("{key}={value}")]);
    }

    /// Loads nftables rules inside.
    pub fn nft(&self, rules: &str) {
        let enter = format!("--net={}", self.path());
        pipe("nsenter", &[&enter, "nft", "-f", "-"], rules);
    }

    /// Joins two namespaces by a pair of devices of the given names.
    pub fn join(&self, device: &str, other: &Self, other_device: &str) {
        self.ip(&["link", "add", device, "type", "veth", "peer", "name", other_device, "netns", &other.name]);
    }

    /// Gives a device its addresses (with prefix length) and brings it up.
    pub fn address(&self, device: &str, addresses: &[&str]) {
        for address in addresses {
            self.ip(&["address", "add", address, "dev", device]);
        }
        self.ip(&["link", "set", device, "up"]);
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let removed = Command::new("ip").args(["netns", "del", &self.name]).stderr(Stdio::null()).status();
        let gone = removed.is_ok_and(|status| status.success());
        assert!(gone || thread::panicking(), "cannot remove network namespace {}", self.name);
    }
}
