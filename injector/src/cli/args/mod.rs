//! What can be written on the command line: clap types only.

mod attachments;
mod hops;
mod values;

pub use self::{
    attachments::{Adopt, Attach, Detach, Doctor, Flows, Run, Status, Target},
    hops::{Check, ConfigCommand, HopArgs, Recommend, Timeouts},
    values::{FileFormat, Sort},
};
