//! What is fuzzed: every parser of bytes that others wrote, and what may be said of whatever comes out of it.
//!
//! Each function takes any bytes and panics where something is wrong. libFuzzer calls them (`cargo xtask fuzz`), and
//! `tests/corpus.rs` with the inputs in `../corpus` and with damaged ones.

#![forbid(unsafe_code)]
#![expect(clippy::missing_panics_doc, reason = "all of them panic where they find something")]

mod arguments;
mod btf;
mod cgroup_paths;
mod config;
mod flows_document;
mod http;
mod log_names;
mod mountinfo;
mod packets;
mod processes;
mod records;
mod samples;

pub use arguments::arguments;
pub use btf::btf;
pub use cgroup_paths::cgroup_paths;
pub use config::config;
pub use flows_document::flows_document;
pub use http::http;
pub use log_names::log_names;
pub use mountinfo::mountinfo;
pub use packets::packets;
pub use processes::processes;
pub use records::records;
pub use samples::samples;

/// A target by its name, which is that of its directory in the corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 12] = [
    ("arguments", arguments),
    ("btf", btf),
    ("cgroup_paths", cgroup_paths),
    ("config", config),
    ("flows_document", flows_document),
    ("http", http),
    ("log_names", log_names),
    ("mountinfo", mountinfo),
    ("packets", packets),
    ("processes", processes),
    ("records", records),
    ("samples", samples),
];

/// The lines of a text, one input each; what is no UTF-8 is replaced.
fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
}
