//! What can be written on the command line: clap types only.

mod attachments;
mod hops;
mod values;

/// Headings of the help.
const HOPS: &str = "Hops";
const KEEPALIVE: &str = "Keepalive";
const WATCHING: &str = "Watching";
const LIFETIME: &str = "Lifetime";

pub(crate) use self::{
    attachments::{Adopt, Attach, AttachmentArgs, Detach, Doctor, Flows, Run, Status},
    hops::{Check, ConfigCommand, HopArgs, Recommend, Timeouts},
    values::{FileFormat, Sort},
};
