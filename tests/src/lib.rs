//! The lab for injector's end-to-end tests: cgroups, network namespaces, a middlebox that drops idle connections, programs to run in
//! them, and the `injector` binary itself.
//!
//! Everything here is a guard: what it made is gone when it is dropped, also when a test panics. Names carry the process
//! id and a counter, and each test has mounts and a bpffs of its own (`host/isolation.rs`), so that tests run side by side
//! and don't depend on what others left behind. What goes wrong panics, with the command and its output, because that is
//! what a test wants to print.

#![deny(unsafe_code)]
#![expect(clippy::missing_panics_doc, reason = "a harness reports everything that goes wrong by a panic")]

mod bpf;
mod container;
mod deadline;
mod host;
mod injector;
mod network;
mod parsers;
mod peers;
mod programs;
mod random;
mod servers;
mod unique;

pub use bpf::foreign::ForeignProgram;
pub use bpf::objects::Objects;
pub use container::Container;
pub use container::image::Image;
pub use deadline::{SOON, eventually};
pub use host::cgroup::{Cgroup, mount_point as cgroup_mount};
pub use host::locks::{Listing, until_it_waits, until_it_waits_no_more};
pub use host::netns::Netns;
pub use injector::Injector;
pub use injector::adoption::{Adoption, Denied};
pub use injector::agent::Agent;
pub use injector::attachment::{Attachment, PINS, move_to_other_version, pins};
pub use injector::reports::{
    AttachmentKeepalive, AttachmentStatus, Bucket, Coverage, Direction, Flow, FlowKeepalive, FlowPackets, FlowPod,
    FlowProcess, Layer7, Origin, Outcomes, Owner, PacketCounts, Sockets, Status,
};
pub use network::forger::Forger;
pub use network::http::{Answer, ask, connect_from, exchange, request};
pub use network::middlebox::{Expiry, Middlebox};
pub use network::sockets::{Connection, connections_of};
pub use network::witness::{Seen, Witness};
pub use parsers::{hcl, yaml};
pub use peers::churn::{Churn, ChurnReport, Load};
pub use peers::crowd::{Crowd, Pings};
pub use peers::peer::{Peer, connected};
pub use peers::socket::{Failure, Keepalive, Route, Socket};
pub use peers::tide::Tide;
pub use programs::command::{pipe, tool};
pub use programs::output::Output;
pub use programs::process::{Place, Process, Signal};
pub use random::Random;
pub use servers::postgres::{Postgres, Psql};
pub use servers::redis::Redis;
pub use servers::server::Server;
pub use unique::{unique_address, unique_name};
