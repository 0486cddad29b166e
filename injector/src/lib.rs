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

pub mod adopt;
pub mod aws;
pub mod bpf;
pub mod cgroup;
pub mod check;
pub mod cli;
pub mod commands;
pub mod config;
pub mod coverage;
pub mod discover;
pub mod duration;
pub mod exit;
pub mod flow;
pub mod hop;
pub mod host;
pub mod keepalive;
pub mod logging;
pub mod nearest;
pub mod notice;
pub mod output;
pub mod pins;
pub mod preflight;
pub mod process;
pub mod recommend;
pub mod rules;
pub mod settings;
pub mod stats;
pub mod watch;
