//! injector keeps idle TCP connections alive.
//!
//! It attaches BPF programs to a cgroup, which set keepalive on every new TCP
//! socket in it, and reports the flows that are close to the idle timeout of a
//! hop on their path. Data flows one way:
//!
//! ```text
//! cli, settings -> keepalive (pure) -> bpf (the only module that knows aya)
//! bpf -> flow samples -> watch -> output
//! ```
#![deny(unsafe_code)]
#![warn(unreachable_pub)]

// The BPF object is little-endian, and it reads the kernel's pointers and `unsigned long`s as 64 bits, as does all that
// crosses the kernel boundary.
#[cfg(not(all(target_endian = "little", target_pointer_width = "64")))]
compile_error!("injector serves 64-bit little-endian machines only, as its BPF object does: x86-64 or aarch64");

mod advice;
mod agent;
mod attachment;
mod bpf;
mod cli;
mod config;
mod discovery;
mod error;
mod flow;
mod hop;
mod host;
mod output;
mod printable;
mod rules;
mod suggest;
mod units;

pub use cli::main;

/// What fuzz targets and the tests of pages and metrics look at. Not an interface: nothing here is stable.
#[doc(hidden)]
pub mod internals {
    pub use crate::{
        agent::{FlowQuery, Listen, MAX_FLOWS, Route, metrics, route, web},
        attachment::watch::Watch,
        bpf::{Btf, pins::PinDir, read_values, stats::Counters},
        cli::{command, remote::Server},
        config::{Config, to_toml},
        discovery::aws::family::generation,
        error::ConfigError,
        flow::{packets::Packets, remaining_ms},
        hop::{HopArg, parse_prefix},
        host::{
            cgroup::{Pattern, cgroup2_mounts, whole},
            pods::{PodName, PodRoots, workload_of},
            process::socket,
        },
        output::{FlowFormat, ListedFlows, flow_line, flows_document, flows_of_document},
        rules::values::Warn,
        units::{exact, moment, parse as parse_duration},
    };
}
