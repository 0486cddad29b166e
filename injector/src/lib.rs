//! injector keeps idle TCP connections alive.
//!
//! It attaches BPF programs to a cgroup, which set keepalive on every new TCP
//! socket in it, and reports the flows that come near the idle timeout of a
//! hop on their way. Data flows one way:
//!
//! ```text
//! cli, settings -> keepalive (pure) -> bpf (the only module that knows aya)
//! bpf -> flow samples -> watch -> output
//! ```
#![deny(unsafe_code)]

// The BPF object is little-endian, and it reads the kernel's pointers and `unsigned long`s as 64 bits, as does all that
// crosses the kernel boundary.
#[cfg(not(all(target_endian = "little", target_pointer_width = "64")))]
compile_error!("injector serves 64-bit little-endian machines only, as its BPF object does: x86-64 or aarch64");

pub mod adopt;
pub mod agent;
pub mod aws;
pub mod bpf;
pub mod cgroup;
pub mod check;
pub mod cli;
pub mod client;
pub mod commands;
pub mod config;
pub mod coverage;
mod descriptors;
pub mod discover;
pub mod duration;
pub mod endpoint;
pub mod ethtool;
pub mod exit;
pub mod feature;
pub mod flow;
pub mod held;
pub mod hop;
pub mod host;
pub mod k8s;
pub mod keepalive;
pub mod lockdown;
pub mod logging;
pub mod metrics;
pub mod nearest;
pub mod notice;
pub mod output;
pub mod packets;
pub mod pins;
pub mod place;
pub mod policy;
pub mod preflight;
pub mod process;
pub mod recommend;
pub mod rules;
pub mod settings;
pub mod signals;
pub mod stats;
pub mod values;
pub mod watch;
pub mod web;
