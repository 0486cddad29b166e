//! All that touches BPF: the only module that knows aya, and the only one
//! with `unsafe`.

mod attach;
mod attached;
mod btf;
pub(crate) mod features;
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
pub(crate) mod pins;
pub(crate) mod preflight;
pub(crate) mod reach;
mod records;
mod refusal;
mod rule_maps;
mod state;
pub(crate) mod stats;
mod sys;
mod tcp_info;

use crate::rules::{Rules, settings::Settings};

pub(crate) use attach::{AttachPlan, attach, replace, resume};
pub(crate) use attached::{Attached, Opened, detach, hooked_to};
pub use btf::Btf;
pub(crate) use foreign::{Foreign, foreign_programs};
pub(crate) use guard::GuardRefused;
pub use iterator::read_values;
pub(crate) use kernel::{KERNEL_BTF, Kernel};
pub(crate) use log::BpfLog;
pub(crate) use neighbours::hooks;
pub(crate) use rule_maps::Hops;
pub(crate) use state::AttachmentState;
pub(crate) use tcp_info::{TcpInfo, tcp_info};

/// Loads the programs that `settings` need and drops them again, to check that this kernel's verifier accepts them.
pub(crate) fn probe(settings: &Settings) -> anyhow::Result<()> {
    let rules = Rules::new(settings, &[])?;
    object::load(false, &rules, &hook::wanted(&rules), None).map(drop)
}
