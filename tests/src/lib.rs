//! The lab for injector's end-to-end tests: cgroups, network namespaces, a middlebox that forgets, programs to run in
//! them, and the `injector` binary itself.
//!
//! Everything here is a guard: what it made is gone when it is dropped, also when a test panics. Names carry the process
//! id and a counter, so that tests run side by side and don't depend on what others left behind. What goes wrong panics,
//! with the command and its output, because that is what a test wants to print.

#![forbid(unsafe_code)]
#![expect(clippy::missing_panics_doc, reason = "a harness reports everything that goes wrong by a panic")]

mod adoption;
mod agent;
mod attachment;
mod bpffs;
mod cgroup;
mod churn;
mod command;
mod container;
mod crowd;
mod daemonset;
mod deadline;
mod foreign;
mod forger;
mod http;
mod image;
mod injector;
mod locks;
mod middlebox;
mod netns;
mod objects;
mod output;
mod parsers;
mod peer;
mod postgres;
mod privilege;
mod process;
mod random;
mod redis;
mod reports;
mod scribe;
mod seccomp;
mod server;
mod socket;
mod sockets;
mod tide;
mod unique;
mod witness;

pub use adoption::{Adoption, Denied};
pub use agent::Agent;
pub use attachment::{Attachment, PINS, move_to_other_version, pins};
pub use cgroup::{Cgroup, mount_point as cgroup_mount};
pub use churn::{Churn, ChurnReport, Load};
pub use command::{pipe, tool};
pub use container::Container;
pub use crowd::{Crowd, Pings};
pub use deadline::eventually;
pub use foreign::ForeignProgram;
pub use forger::Forger;
pub use http::{Answer, ask, connect_from, exchange, request};
pub use image::Image;
pub use injector::Injector;
pub use locks::{Listing, until_it_waits, until_it_waits_no_more};
pub use middlebox::{Expiry, Middlebox};
pub use netns::Netns;
pub use objects::Objects;
pub use output::Output;
pub use parsers::{hcl, yaml};
pub use peer::{Peer, connected};
pub use postgres::{Postgres, Psql};
pub use privilege::require_root;
pub use process::{Place, Process, Signal};
pub use random::Random;
pub use redis::Redis;
pub use reports::{
    AttachmentKeepalive, AttachmentStatus, Bucket, Coverage, Direction, Flow, FlowKeepalive, FlowPackets, FlowPod,
    FlowProcess, Layer7, Origin, Outcomes, Owner, PacketCounts, Sockets, Status,
};
pub use scribe::Scribe;
pub use server::Server;
pub use socket::{Failure, Keepalive, Route, Socket};
pub use sockets::{Connection, connections_of};
pub use tide::Tide;
pub use unique::unique_name;
pub use witness::{Seen, Witness};
