//! The programs of an attachment, each with the hook of the cgroup that it runs on and the setting that needs it. Which
//! of them are wanted is computed once; they are then loaded, attached or replaced in that order. One that is not
//! needed is not loaded, so a kernel that refuses it lacks only its feature.

use std::os::fd::{AsFd as _, BorrowedFd};

use anyhow::Context as _;
use aya::{
    Ebpf,
    programs::{Program, ProgramError},
};
use aya_obj::generated::bpf_attach_type;
use injector_common::names;

use super::{
    features::{CONFLICTS, Feature, PACKETS},
    guard, refusal,
};
use crate::rules::Rules;

/// A program and its hook.
#[derive(Debug)]
pub(super) struct Hook {
    /// Its name, which is that of its link's pin.
    pub(super) program: &'static str,
    /// Where it runs.
    pub(super) attach_type: bpf_attach_type,
    /// The feature that needs it, unless every attachment does.
    feature: Option<&'static Feature>,
    is_wanted: fn(&Rules) -> bool,
}

/// The one that every attachment has.
pub(super) static KEEPALIVE: Hook = Hook {
    program: names::KEEPALIVE,
    attach_type: bpf_attach_type::BPF_CGROUP_SOCK_OPS,
    feature: None,
    is_wanted: |_| true,
};

/// Those beside it, in the order of [`names::COMPANIONS`].
pub(super) static COMPANIONS: [Hook; names::COMPANIONS.len()] = [
    Hook {
        program: names::GUARD,
        attach_type: bpf_attach_type::BPF_CGROUP_SETSOCKOPT,
        feature: Some(&CONFLICTS),
        is_wanted: Rules::overrules,
    },
    Hook {
        program: names::INGRESS,
        attach_type: bpf_attach_type::BPF_CGROUP_INET_INGRESS,
        feature: Some(&PACKETS),
        is_wanted: |rules| rules.tracks_packets,
    },
    Hook {
        program: names::EGRESS,
        attach_type: bpf_attach_type::BPF_CGROUP_INET_EGRESS,
        feature: Some(&PACKETS),
        is_wanted: |rules| rules.tracks_packets,
    },
];

/// The hooks that `rules` want, `keepalive` last: its pin means that all is there.
pub(super) fn wanted(rules: &Rules) -> Vec<&'static Hook> {
    all().filter(|hook| (hook.is_wanted)(rules)).collect()
}

/// The one of that program, if it is among `hooks`.
pub(super) fn find(hooks: &[&'static Hook], program: &str) -> Option<&'static Hook> {
    hooks.iter().copied().find(|hook| hook.program == program)
}

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Hook> {
    COMPANIONS.iter().chain([&KEEPALIVE])
}

/// The hook of any program of ours.
pub(super) fn of(program: &str) -> Option<&'static Hook> {
    all().find(|hook| hook.program == program)
}

impl Hook {
    /// The hook as `bpftool cgroup show` and `doctor` name it.
    pub(super) const fn name(&self) -> &'static str {
        match self.attach_type {
            bpf_attach_type::BPF_CGROUP_INET_INGRESS => "ingress",
            bpf_attach_type::BPF_CGROUP_INET_EGRESS => "egress",
            bpf_attach_type::BPF_CGROUP_SETSOCKOPT => "setsockopt",
            _ => "sock_ops",
        }
    }

    /// Whether systemd attaches programs of its own there.
    pub(super) const fn is_systemds(&self) -> bool {
        matches!(self.attach_type, bpf_attach_type::BPF_CGROUP_INET_INGRESS | bpf_attach_type::BPF_CGROUP_INET_EGRESS)
    }

    /// Passes the program to the verifier.
    ///
    /// Errors with [`crate::error::Error::Privilege`] or [`crate::error::Error::Unsupported`] where the kernel never
    /// will load it.
    pub(super) fn load(&self, ebpf: &mut Ebpf) -> anyhow::Result<()> {
        let program = ebpf.program_mut(self.program).with_context(|| self.lacks())?;
        let loaded = match program {
            Program::SockOps(program) => program.load(),
            Program::CgroupSockopt(program) => program.load(),
            Program::CgroupSkb(program) => program.load(),
            _ => Err(ProgramError::UnexpectedProgramType),
        };
        let refused = |error| guard::refused(self.program, refusal::of_program(self.program, self.feature, error));
        loaded.map_err(refused)
    }

    /// The program, which is loaded.
    pub(super) fn fd<'a>(&self, ebpf: &'a Ebpf) -> anyhow::Result<BorrowedFd<'a>> {
        Ok(self.of(ebpf)?.fd()?.as_fd())
    }

    /// Kernel's id of the program, which is loaded.
    pub(super) fn program_id(&self, ebpf: &Ebpf) -> anyhow::Result<u32> {
        let info = self.of(ebpf)?.info().with_context(|| format!("reading the {} program", self.program))?;
        Ok(info.id())
    }

    fn of<'a>(&self, ebpf: &'a Ebpf) -> anyhow::Result<&'a Program> {
        ebpf.program(self.program).with_context(|| self.lacks())
    }

    fn lacks(&self) -> String {
        format!("the BPF object lacks its {} program", self.program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{
        settings::Settings,
        values::{OnConflict, Track},
    };

    #[test]
    fn only_what_is_asked_for_is_wanted_and_keepalive_comes_last() {
        let wanted = |on_conflict, track| {
            let settings = Settings { on_conflict: Some(on_conflict), track: Some(track), ..Settings::default() };
            let rules = Rules::new(&settings, &[]).expect("valid settings");
            wanted(&rules).into_iter().map(|hook| hook.program).collect::<Vec<_>>()
        };
        assert_eq!(wanted(OnConflict::Respect, Track::Sockets), ["keepalive"]);
        assert_eq!(wanted(OnConflict::Enforce, Track::Sockets), ["guard", "keepalive"]);
        assert_eq!(wanted(OnConflict::Respect, Track::Packets), ["ingress", "egress", "keepalive"]);
        assert_eq!(wanted(OnConflict::Tighten, Track::Packets), ["guard", "ingress", "egress", "keepalive"]);
    }

    #[test]
    fn companions_are_in_the_order_of_their_ids() {
        assert_eq!(COMPANIONS.each_ref().map(|hook| hook.program), names::COMPANIONS);
    }
}
