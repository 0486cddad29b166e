//! The plan of a watch loop: from a configuration file, or from the arguments of `attach`.

use std::{path::Path, sync::Arc, time::Duration};

use super::targets::{TargetCgroup, Targets};
use crate::{
    agent::metrics::HopLimit,
    bpf::AttachmentState,
    config::{Agent, Config, OnExit},
    discovery,
    error::Error,
    hop::Hop,
    host::{
        cgroup::{self, Pattern},
        pods::PodRoots,
    },
    rules::{
        Rules,
        policy::{PodCgroup, Policy, Sets},
        settings::{self, Settings},
    },
};

/// What to do, checked in full.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(super) agent: Agent,
    pub(super) targets: Targets,
    pub(super) on_loss: OnLoss,
    /// To be applied, for the cgroups there are.
    pub(super) rules: Arc<Rules>,
    settings: Settings,
    /// How often to ask the cloud for hops; `None` where it is not to be asked.
    pub(super) discovery: Option<Duration>,
    /// Those of the file and of the command line.
    configured: Vec<Hop>,
    /// All that are applied.
    hops: Vec<Hop>,
    policies: Vec<Policy>,
    sets: Sets,
    /// The idle timeouts that are applied.
    pub(super) limits: Vec<HopLimit>,
    remarks: Vec<String>,
}

/// What the watch does where an attachment is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnLoss {
    /// It ends.
    End,
    /// It waits for the cgroup to be recreated, where that was removed; else it ends.
    Follow,
    /// It attaches again as soon as that is possible.
    Restore,
}

impl OnLoss {
    /// Whether an attachment that was lost this way is the end of the watch.
    pub(super) fn ends(self, state: AttachmentState) -> bool {
        match self {
            Self::End => true,
            Self::Follow => state != AttachmentState::CgroupRemoved,
            Self::Restore => false,
        }
    }
}

impl Plan {
    /// What `config` asks of `run`.
    ///
    /// Errors where values don't go together, no cgroup is named, or this build
    /// can't ask the cloud.
    pub(super) fn of_file(config: &Config) -> Result<Self, Error> {
        if config.agent.cgroups.is_empty() {
            return Err(Error::BadValue {
                what: "cgroups",
                value: "missing in the file".to_owned(),
                expected: "set cgroups = [\"/\"] for the whole host, or list the cgroups to attach to".to_owned(),
            });
        }
        let mut config = config.clone();
        for Policy { selector, .. } in &mut config.policies {
            selector.cgroup = selector.cgroup.take().map(below_mount);
        }
        let roots = config.agent.pod_cgroups.paths().iter().map(|path| path_below_mount(path));
        config.agent.pod_cgroups = PodRoots::new(roots);
        let patterns = config.agent.cgroups.iter().cloned().map(below_mount).collect();
        Self::new(config, Targets::Matching(patterns), OnLoss::Restore)
    }

    /// What `config` asks of `attach`, for this one cgroup.
    ///
    /// Errors as [`Self::of_file`] does, and where a policy is for some cgroups
    /// only.
    pub(crate) fn of_one(config: Config, target: TargetCgroup, on_loss: OnLoss) -> Result<Self, Error> {
        Rules::without_selectors(&config.attach, &config.hops, &config.policies)?;
        Self::new(config, Targets::One(target), on_loss)
    }

    fn new(config: Config, targets: Targets, on_loss: OnLoss) -> Result<Self, Error> {
        let sets = Sets::of(&config.policies, &[]);
        let rules = Rules::with(&config.attach, &config.hops, &config.policies, &sets)?;
        Ok(Self {
            agent: config.agent,
            targets,
            on_loss,
            limits: limits(&rules, &config.hops),
            remarks: settings::remarks(rules.fallback()),
            rules: Arc::new(rules),
            discovery: discovery::interval(&config.attach)?,
            settings: config.attach,
            configured: config.hops.clone(),
            hops: config.hops,
            policies: config.policies,
            sets,
        })
    }

    /// What is allowed but may surprise; a sentence each.
    pub(crate) fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// Whether what fails is tried again; else it ends the watch.
    pub(super) fn survives_failures(&self) -> bool {
        self.on_loss != OnLoss::End
    }

    /// What is left where the loop ends.
    pub(super) const fn on_exit(&self) -> OnExit {
        self.agent.on_exit
    }

    /// The hops of the file and of the command line.
    pub(super) fn configured(&self) -> &[Hop] {
        &self.configured
    }

    /// All hops that are applied.
    pub(super) fn hops(&self) -> &[Hop] {
        &self.hops
    }

    /// Makes `hops` those that are applied.
    ///
    /// Errors where a setting does not go with one; nothing is changed then.
    pub(super) fn replace_hops(&mut self, hops: Vec<Hop>) -> Result<(), Error> {
        let rules = Rules::with(&self.settings, &hops, &self.policies, &self.sets)?;
        self.limits = limits(&rules, &hops);
        (self.rules, self.hops) = (Arc::new(rules), hops);
        Ok(())
    }

    /// Whether any policy depends on cgroup or pod.
    pub(super) fn asks_whose(&self) -> bool {
        self.policies.iter().any(|policy| !policy.selector.selects_all())
    }

    /// Makes the next survey replace rules again.
    pub(super) fn reset_survey(&mut self) {
        self.sets.sets.clear();
    }

    /// Whether any policy adopts flows that were open before.
    pub(super) fn asks_to_adopt(&self) -> bool {
        self.policies.iter().any(|policy| policy.adopt == Some(true))
    }

    /// Adapts the rules to the cgroups there are. Returns whether others have to
    /// be applied, beyond the numbers of the cgroups.
    pub(super) fn survey(&mut self, residents: &[PodCgroup]) -> Result<bool, Error> {
        let sets = Sets::of(&self.policies, residents);
        if sets.sets == self.sets.sets {
            Arc::make_mut(&mut self.rules).cgroups = sets.cgroups;
            return Ok(false);
        }
        self.rules = Arc::new(Rules::with(&self.settings, &self.hops, &self.policies, &sets)?);
        self.sets = sets;
        Ok(true)
    }
}

/// Accepts full paths as well as those relative to the mount.
fn below_mount(pattern: Pattern) -> Pattern {
    match cgroup::mount_of(Path::new(pattern.as_str())) {
        Some((mount, path)) => pattern.below(&mount, &path),
        None => pattern,
    }
}

fn path_below_mount(path: &str) -> String {
    let found = cgroup::mount_of(Path::new(path)).and_then(|(mount, seen)| {
        let below = Path::new(path).strip_prefix(mount).ok()?;
        Some(seen.join(below).to_string_lossy().into_owned())
    });
    found.unwrap_or_else(|| path.to_owned())
}

/// Those of the hops, and the default.
fn limits(rules: &Rules, hops: &[Hop]) -> Vec<HopLimit> {
    let timeout = Duration::from_millis(rules.fallback().limit_ms.into());
    let fallback = HopLimit { hop: String::new(), source: "timeout".to_owned(), timeout };
    let of = |hop: &Hop| HopLimit { hop: hop.name.clone(), source: hop.source.kind().to_owned(), timeout: hop.timeout };
    [fallback].into_iter().chain(hops.iter().map(of)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_needs_a_cgroup() {
        let config = Config::parse(Path::new("x.toml"), b"timeout = 60").expect("valid");
        assert!(Plan::of_file(&config).expect_err("none").to_string().contains("cgroups = [\"/\"]"));
    }

    #[test]
    fn what_ends_a_watch() {
        use AttachmentState::{CgroupRemoved, Detached, Replaced};
        for (on_loss, expected) in
            [(OnLoss::End, [true, true, true]), (OnLoss::Follow, [false, true, true]), (OnLoss::Restore, [false; 3])]
        {
            assert_eq!([CgroupRemoved, Detached, Replaced].map(|state| on_loss.ends(state)), expected, "{on_loss:?}");
        }
    }
}
