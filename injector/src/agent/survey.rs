//! The cgroups below the attached ones, for policies that depend on cgroup or pod.
//!
//! A cgroup gets its number when it is seen, some ten milliseconds after it
//! appeared. Connections that it opens sooner get the policy for all flows, and
//! so does a container whose name is not known yet.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Instant,
};

use super::{member::Member, watcher::Watcher};
use crate::{host::cgroup, rules::policy::PodCgroup};

impl Watcher {
    /// Looks at all cgroups in and below `roots`, and applies rules for them. Adds the directories where new ones can
    /// appear.
    pub(super) fn survey(&mut self, roots: &BTreeSet<PathBuf>, watched: &mut BTreeSet<PathBuf>) -> anyhow::Result<()> {
        if !self.plan.asks_whose() {
            return Ok(());
        }
        let residents = self.residents(roots, watched);
        let now = Instant::now();
        let next = self.replacements.earliest(now);
        if next > now {
            // Processes that create and remove cgroups must not cause rules to be replaced all the time.
            self.look_at = self.look_at.min(next);
            return Ok(());
        }
        if self.plan.survey(&residents)? {
            tracing::info!(cgroups = residents.len(), "policies of these cgroups changed: rules replaced");
            if let Err(error) = self.replace_rules() {
                self.plan.reset_survey();
                return Err(error);
            }
        }
        let cgroups = &self.plan.rules.cgroups;
        self.members.values_mut().try_for_each(|member: &mut Member| member.number(cgroups))
    }

    /// The cgroups in and below `roots`, where it matters which there are.
    pub(super) fn residents(&mut self, roots: &BTreeSet<PathBuf>, watched: &mut BTreeSet<PathBuf>) -> Vec<PodCgroup> {
        let Some(mount) = self.plan.asks_whose().then(cgroup::mount_point).and_then(Result::ok) else {
            return Vec::new();
        };
        let directories: BTreeSet<_> =
            roots.iter().flat_map(|root| cgroup::tree(&cgroup::below(&mount, root))).collect();
        let residents = directories.iter().filter_map(|directory| self.resident(directory, &mount)).collect();
        watched.extend(directories);
        residents
    }

    fn resident(&mut self, directory: &Path, mount: &Path) -> Option<PodCgroup> {
        let (id, path) = cgroup::identify(directory, mount)?;
        let pod = self.names.pod_at(&path);
        Some(PodCgroup { id, path, pod })
    }
}
