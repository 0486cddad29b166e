//! What a configuration file asks the agent to do, and whether it changed.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    agent::metrics::Limit,
    config::{Agent, Config, Contents},
    discovery,
    error::Error,
    hop::Hop,
    host::{
        cgroup::{self, Pattern},
        pods::PodRoots,
    },
    rules::{
        Rules,
        policy::{Policy, Resident, Sets},
        settings::{self, Settings},
    },
};

/// A configuration, checked in full.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) agent: Agent,
    /// In force, for the cgroups there are.
    pub(super) rules: Arc<Rules>,
    settings: Settings,
    /// How often to ask the cloud for hops; `None` where it is not to be asked.
    pub(super) discovery: Option<Duration>,
    /// Those of the file.
    told: Vec<Hop>,
    /// In force.
    hops: Vec<Hop>,
    policies: Vec<Policy>,
    sets: Sets,
    /// The idle timeouts in force.
    pub(super) limits: Vec<Limit>,
    /// What is allowed but may surprise.
    pub(super) remarks: Vec<String>,
}

/// The file, and what was last read from it.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    /// What a plan was last made of, or refused for.
    taken: Text,
    /// What stood there at the last look.
    seen: Text,
}

/// What stands in a file; `None` where it can't be read.
type Text = Option<Vec<u8>>;

/// What a look at the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Same,
    /// It is being written: look again soon.
    Changing,
    Changed,
}

impl Plan {
    /// What `config` comes to.
    ///
    /// Errors where values don't go together, no cgroup is named, or this build
    /// can't ask the cloud.
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        if config.agent.cgroups.is_empty() {
            return Err(Error::BadValue {
                what: "cgroups",
                value: "missing in the file".to_owned(),
                expected: "write cgroups = [\"/\"] for the whole host, or the cgroups to attach to".to_owned(),
            });
        }
        let mut policies = config.policies.clone();
        for Policy { who, .. } in &mut policies {
            who.cgroup = who.cgroup.take().map(below_mount);
        }
        let mut agent = config.agent.clone();
        agent.cgroups = agent.cgroups.into_iter().map(below_mount).collect();
        agent.pod_cgroups = PodRoots::new(agent.pod_cgroups.paths().iter().map(|path| path_below_mount(path)));
        let sets = Sets::of(&policies, &[]);
        let rules = Rules::with(&config.attach, &config.hops, &policies, &sets)?;
        Ok(Self {
            agent,
            limits: limits(&rules, &config.hops),
            remarks: settings::remarks(rules.fallback()),
            rules: Arc::new(rules),
            discovery: discovery::interval(&config.attach)?,
            settings: config.attach.clone(),
            told: config.hops.clone(),
            hops: config.hops.clone(),
            policies,
            sets,
        })
    }

    /// The hops of the file.
    pub(super) fn told(&self) -> &[Hop] {
        &self.told
    }

    /// The hops in force.
    pub(super) fn hops(&self) -> &[Hop] {
        &self.hops
    }

    /// Makes `hops` those in force.
    ///
    /// Errors where a setting does not go with one; nothing is changed then.
    pub(super) fn replace_hops(&mut self, hops: Vec<Hop>) -> Result<(), Error> {
        let rules = Rules::with(&self.settings, &hops, &self.policies, &self.sets)?;
        self.limits = limits(&rules, &hops);
        (self.rules, self.hops) = (Arc::new(rules), hops);
        Ok(())
    }

    /// Whether any policy asks whose a flow is.
    pub(super) fn asks_whose(&self) -> bool {
        self.policies.iter().any(|policy| !policy.who.is_anyone())
    }

    /// Has the next survey tell again that rules are to be replaced.
    pub(super) fn forget_survey(&mut self) {
        self.sets.sets.clear();
    }

    /// Whether any policy asks for flows that were there before.
    pub(super) fn asks_to_adopt(&self) -> bool {
        self.policies.iter().any(|policy| policy.adopt == Some(true))
    }

    /// Adapts the rules to the cgroups there are. Tells whether others have to
    /// be put in force, beyond the numbers of the cgroups.
    pub(super) fn survey(&mut self, residents: &[Resident]) -> Result<bool, Error> {
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

/// Full paths are as good as those from the mount on.
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

/// The hops', and the one where no hop says otherwise.
fn limits(rules: &Rules, hops: &[Hop]) -> Vec<Limit> {
    let timeout = Duration::from_millis(rules.fallback().limit_ms.into());
    let fallback = Limit { hop: String::new(), source: "timeout".to_owned(), timeout };
    let of = |hop: &Hop| Limit { hop: hop.name.clone(), source: hop.source.kind().to_owned(), timeout: hop.timeout };
    [fallback].into_iter().chain(hops.iter().map(of)).collect()
}

impl Source {
    /// The file at `path`, not read yet.
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, taken: None, seen: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file, whatever was read before.
    pub(super) fn load(&mut self) -> Result<Plan, Error> {
        let read = Contents::read(&self.path);
        self.taken = read.as_ref().ok().map(|read| read.bytes.clone());
        self.seen.clone_from(&self.taken);
        Plan::new(&Config::of(&self.path, read)?)
    }

    /// Whether it differs from what was last read. Who writes a file may do so
    /// in several steps: it must be the same at two looks.
    pub(super) fn look(&mut self) -> Look {
        let now = fs::read(&self.path).ok();
        let is_steady = now == self.seen;
        self.seen = now;
        match (self.seen == self.taken, is_steady) {
            (true, _) => Look::Same,
            (false, false) => Look::Changing,
            (false, true) => Look::Changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_read_once_it_rests() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("config.toml");
        fs::write(&path, "cgroups = [\"/\"]").expect("written");
        let mut source = Source::new(path.clone());
        assert_eq!(source.load().expect("valid").agent.cgroups.len(), 1);
        assert_eq!(source.look(), Look::Same);
        for text in ["", "cgroups = [\"/\"]\ntimeout = 60"] {
            fs::write(&path, text).expect("written");
            assert_eq!(source.look(), Look::Changing);
        }
        assert_eq!(source.look(), Look::Changed);
        assert_eq!(source.load().expect("valid").rules.fallback().limit_ms, 60_000);
        fs::remove_file(&path).expect("removed");
        assert_eq!((source.look(), source.look()), (Look::Changing, Look::Changed));
        assert!(source.load().expect_err("gone").to_string().contains("can't be read"));
        assert_eq!(source.look(), Look::Same, "told once");
    }

    #[test]
    fn an_agent_needs_a_cgroup() {
        let config = Config::parse(Path::new("x.toml"), b"timeout = 60").expect("valid");
        assert!(Plan::new(&config).expect_err("none").to_string().contains("cgroups = [\"/\"]"));
    }
}
