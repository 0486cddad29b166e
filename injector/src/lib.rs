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

pub mod advice;
pub mod agent;
pub mod attachment;
pub mod bpf;
pub mod cli;
pub mod config;
pub mod discovery;
pub mod error;
pub mod flow;
pub mod hop;
pub mod host;
pub mod output;
pub mod rules;
pub mod suggest;
pub mod units;
