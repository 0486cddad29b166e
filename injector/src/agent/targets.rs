//! The cgroups that a watch loop attaches to.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::{
    attachment::acquire::Purpose,
    bpf::pins::PinDir,
    host::cgroup::{self, Cgroup, Expansion, Pattern, expand},
};

/// What to attach to.
#[derive(Clone, Debug)]
pub(super) enum Targets {
    /// All cgroups that match, as they come and go.
    Matching(Vec<Pattern>),
    /// This one.
    One(TargetCgroup),
}

/// One cgroup.
#[derive(Clone, Debug)]
pub(crate) struct TargetCgroup {
    /// Path, relative to the mount.
    pub(crate) cgroup: PathBuf,
    /// Where to pin the attachment.
    pub(crate) pins: PinDir,
    /// What else to do.
    pub(crate) purpose: Purpose,
}

impl Targets {
    /// The cgroups below `mount` that match at this moment.
    pub(super) fn expand(&self, mount: &Path) -> Expansion {
        match self {
            Self::Matching(patterns) => expand(patterns, mount),
            Self::One(target) => target.expand(mount),
        }
    }

    /// Where to pin an attachment to `cgroup`, and what else to do with it.
    pub(super) fn place(&self, cgroup: &Cgroup) -> (PinDir, Purpose) {
        match self {
            Self::Matching(_) => (PinDir::for_cgroup(cgroup.path()), Purpose { watch: true, log: false, prove: true }),
            Self::One(target) => (target.pins.clone(), target.purpose),
        }
    }

    /// As they are configured.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Matching(patterns) => {
                let patterns: Vec<_> = patterns.iter().map(|pattern| format!("{:?}", pattern.as_str())).collect();
                patterns.join(" or ")
            }
            Self::One(target) => target.cgroup.display().to_string(),
        }
    }
}

impl TargetCgroup {
    fn expand(&self, mount: &Path) -> Expansion {
        let directory = cgroup::below(mount, &self.cgroup);
        let is_there = directory.is_dir();
        // Where it is missing, those further up may be as well.
        let ancestors = directory.ancestors().skip(1).take_while(|parent| parent.starts_with(mount));
        let parents = ancestors.take(if is_there { 1 } else { usize::MAX });
        Expansion {
            found: is_there.then(|| self.cgroup.clone()).into_iter().collect(),
            parents: parents.map(Path::to_owned).collect::<BTreeSet<_>>(),
            missing: if is_there { Vec::new() } else { vec![self.cgroup.display().to_string()] },
        }
    }
}
