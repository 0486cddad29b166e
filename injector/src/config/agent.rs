//! The keys that only `injector run` uses.

use std::path::PathBuf;

use serde::Serialize;
use toml::Spanned;

use super::{
    raw::RawFile,
    values::{Text, Texts},
};
use crate::host::{
    cgroup::Pattern,
    logging::LogFormat,
    pods::{LOG_ROOT, PodRoots},
};

/// A complaint about the byte at an offset.
type Complaint = (usize, String);

/// What `injector run` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// The cgroups to attach to.
    pub cgroups: Vec<Pattern>,
    /// What it leaves attached when it ends.
    pub on_exit: OnExit,
    /// The format of its log.
    pub log: LogFormat,
    /// Where the kubelet's directories `pods` and `containers` are.
    pub pod_logs: PathBuf,
    /// Below which cgroups the kubelet has its pods.
    pub pod_cgroups: PodRoots,
    /// Host names of its server, beside addresses and `localhost`.
    pub allowed_hosts: Vec<String>,
    /// Take over connections that are older than the agent, too.
    pub adopt: bool,
}

/// What the agent leaves attached when it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnExit {
    /// The programs stay attached: the next agent takes them over.
    #[default]
    Keep,
    /// Nothing.
    Detach,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            cgroups: Vec::new(),
            on_exit: OnExit::default(),
            log: LogFormat::default(),
            pod_logs: LOG_ROOT.into(),
            pod_cgroups: PodRoots::default(),
            allowed_hosts: Vec::new(),
            adopt: false,
        }
    }
}

impl OnExit {
    /// Its name in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Detach => "detach",
        }
    }
}

/// Checks the agent's keys. `cgroups` defaults to the `cgroup` of `attach`.
pub(super) fn resolve(raw: &RawFile) -> Result<Agent, Complaint> {
    let default = Agent::default();
    Ok(Agent {
        cgroups: match (&raw.cgroups, &raw.cgroup) {
            (Some(list), _) => patterns(list)?,
            (None, Some(one)) => vec![pattern(one)?],
            (None, None) => default.cgroups,
        },
        on_exit: one_of(raw.on_exit.as_ref(), &[("keep", OnExit::Keep), ("detach", OnExit::Detach)])?,
        log: one_of(raw.log.as_ref(), &[("text", LogFormat::Text), ("json", LogFormat::Json)])?,
        pod_logs: raw.pod_logs.as_ref().map_or(default.pod_logs, |path| path.get_ref().0.clone().into()),
        pod_cgroups: raw.pod_cgroups.as_ref().map_or(Ok(default.pod_cgroups), roots)?,
        allowed_hosts: raw.allowed_hosts.as_ref().map_or(Ok(default.allowed_hosts), hosts)?,
        adopt: raw.adopt.unwrap_or(default.adopt),
    })
}

fn patterns(list: &Spanned<Texts>) -> Result<Vec<Pattern>, Complaint> {
    let texts = &list.get_ref().0;
    if texts.is_empty() {
        let message = "an empty list means no cgroup: write [\"/\"] for the whole host, or omit the key";
        return Err((list.span().start, message.to_owned()));
    }
    texts.iter().map(pattern).collect()
}

pub(super) fn pattern(text: &Spanned<Text>) -> Result<Pattern, Complaint> {
    text.get_ref().0.parse().map_err(|message| (text.span().start, message))
}

fn roots(list: &Spanned<Texts>) -> Result<PodRoots, Complaint> {
    let root = |text: &Spanned<Text>| {
        let path = text.get_ref().0.trim_matches('/');
        let is_plain = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        let expected = || {
            let expected = "expected the path of the kubelet's kubepods, as \"/kubelet/kubepods\"";
            (text.span().start, format!("invalid cgroup {:?}: {expected}", text.get_ref().0))
        };
        is_plain.then(|| path.to_owned()).ok_or_else(expected)
    };
    Ok(PodRoots::new(list.get_ref().0.iter().map(root).collect::<Result<Vec<_>, _>>()?))
}

fn hosts(list: &Spanned<Texts>) -> Result<Vec<String>, Complaint> {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let host = |text: &Spanned<Text>| {
        let name = &text.get_ref().0;
        let is_name = name.strip_prefix("*.").unwrap_or(name).split('.').all(is_label);
        let expected = || {
            let expected = "expected a name without a port, as \"injector.kube-system.svc\", or \"*.example.com\"";
            (text.span().start, format!("invalid host name {name:?}: {expected}"))
        };
        is_name.then(|| name.clone()).ok_or_else(expected)
    };
    list.get_ref().0.iter().map(host).collect()
}

fn one_of<T: Copy + Default>(text: Option<&Spanned<Text>>, values: &[(&str, T)]) -> Result<T, Complaint> {
    let Some(text) = text else { return Ok(T::default()) };
    let given = &text.get_ref().0;
    let found = values.iter().find(|(name, _)| name == given);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = values.iter().map(|(name, _)| format!("{name:?}")).collect();
        (text.span().start, format!("{given:?} is not possible here: write {}", names.join(" or ")))
    })
}
