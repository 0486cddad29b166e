//! All that touches BPF: the only module that knows aya, and the only one
//! with `unsafe`.

mod attach;
mod attached;
mod btf;
pub mod features;
mod foreign;
mod generation;
mod guard;
mod hook;
mod iterator;
mod kernel;
mod link;
mod log;
mod maps;
mod neighbours;
mod object;
mod pinned;
pub mod pins;
pub mod preflight;
pub mod reach;
mod records;
mod refusal;
mod rule_maps;
mod state;
pub mod stats;
mod sys;
mod tcp_info;

use crate::rules::{Rules, settings::Settings};

pub use attach::{AttachPlan, attach, replace, resume};
pub use attached::{Attached, Opened, detach, hooked_to};
pub use btf::Btf;
pub use foreign::{Foreign, foreign_programs};
pub use guard::GuardRefused;
pub use iterator::read_values;
pub use kernel::{KERNEL_BTF, Kernel};
pub use log::BpfLog;
pub use neighbours::hooks;
pub use rule_maps::Hops;
pub use state::AttachmentState;
pub use tcp_info::{TcpInfo, tcp_info};

/// Loads the programs that `settings` need and drops them again, to check that this kernel's verifier accepts them.
pub fn probe(settings: &Settings) -> anyhow::Result<()> {
    let rules = Rules::new(settings, &[])?;
    object::load(false, &rules, &hook::wanted(&rules), None).map(drop)
}
