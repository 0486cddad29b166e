//! Policies: overrides, for some flows, of what follows from their limit. They are ordered, and the first one that
//! matches a flow counts.
//!
//! Where a flow leads is looked up by the kernel, as for hops. Cgroups are matched here: those with the same policies
//! share a number, and the kernel knows each cgroup's.

use std::collections::BTreeSet;

use injector_common::{
    decision::{ADOPT, ADOPT_AS_ASKED, DERIVED, EXEMPTED, EXPLICIT, LEAVE, MAX_SET, Override, SAME_CONFLICT},
    keepalive::Keepalive,
};

use crate::{
    hop::Scope,
    host::{cgroup::Pattern, pods::Pod},
    rules::values::OnConflict,
};

/// One policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whose flows.
    pub selector: Selector,
    /// Flows to where.
    pub scope: Scope,
    /// What they get.
    pub keepalive: Mode,
    /// How to treat their applications' own calls; `None` for the rule of all
    /// others.
    pub on_conflict: Option<OnConflict>,
    /// Whether those that were open before are adopted; `None` as it is configured for.
    pub adopt: Option<bool>,
}

/// Keepalive of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What follows from the limit.
    Derived,
    /// None: the flows are left alone.
    Exempt,
    /// These values.
    Explicit(Keepalive),
}

/// Selects flows by their cgroup and pod. Missing fields match all; a pod without a known name matches no pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Their cgroup, or one above it.
    pub cgroup: Option<Pattern>,
    /// Namespace of their pod.
    pub namespace: Option<glob::Pattern>,
    /// Name of their pod.
    pub pod: Option<glob::Pattern>,
    /// Name of their container.
    pub container: Option<glob::Pattern>,
}

/// A cgroup, and its pod where it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodCgroup {
    /// The kernel's id.
    pub id: u64,
    /// Path, relative to the mount.
    pub path: String,
    /// Its pod.
    pub pod: Option<Pod>,
}

/// Numbers of cgroups, and what they stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sets {
    /// Indices of policies by number. The first one is of cgroups without a
    /// number.
    pub sets: Vec<Vec<usize>>,
    /// Cgroups that have a number.
    pub cgroups: Vec<(u64, u32)>,
}

impl Selector {
    /// Whether it matches all flows.
    pub const fn selects_all(&self) -> bool {
        matches!(self, Self { cgroup: None, namespace: None, pod: None, container: None })
    }

    /// Whether it matches this cgroup.
    pub fn matches(&self, resident: &PodCgroup) -> bool {
        let Self { cgroup, namespace, pod, container } = self;
        let named = |pattern: &Option<glob::Pattern>, name: Option<&str>| {
            pattern.as_ref().is_none_or(|pattern| name.is_some_and(|name| pattern.matches(name)))
        };
        let its = resident.pod.as_ref();
        cgroup.as_ref().is_none_or(|pattern| pattern.covers(&resident.path))
            && named(namespace, its.map(|its| its.namespace.as_str()))
            && named(pod, its.map(|its| its.name.as_str()))
            && named(container, its.and_then(|its| its.container.as_deref()))
    }
}

impl Policy {
    /// What the kernel looks up; `order` is its place among all.
    pub fn instead(&self, order: usize) -> Override {
        Override {
            order: u32::try_from(order).unwrap_or(u32::MAX),
            mode: match self.keepalive {
                Mode::Derived => DERIVED,
                Mode::Exempt => EXEMPTED,
                Mode::Explicit(_) => EXPLICIT,
            },
            keepalive: match self.keepalive {
                Mode::Explicit(keepalive) => keepalive,
                Mode::Derived | Mode::Exempt => Keepalive::default(),
            },
            conflict: match self.on_conflict {
                None => SAME_CONFLICT,
                Some(on_conflict) => on_conflict.code(),
            },
            adopt: match self.adopt {
                None => ADOPT_AS_ASKED,
                Some(true) => ADOPT,
                Some(false) => LEAVE,
            },
        }
    }
}

impl Sets {
    /// Numbers for `residents`. The same ones get the same numbers, in any order. Beyond [`MAX_SET`] different sets
    /// cgroups have no number.
    pub(crate) fn of(policies: &[Policy], residents: &[PodCgroup]) -> Self {
        let met = |resident: Option<&PodCgroup>| -> Vec<usize> {
            let is_met =
                |selector: &Selector| resident.map_or(selector.selects_all(), |resident| selector.matches(resident));
            policies.iter().enumerate().filter(|(_, policy)| is_met(&policy.selector)).map(|(index, _)| index).collect()
        };
        let unselected = met(None);
        let of_each: Vec<_> = residents.iter().map(|resident| (resident.id, met(Some(resident)))).collect();
        let different: BTreeSet<_> = of_each.iter().map(|(_, set)| set).filter(|set| **set != unselected).collect();
        let mut sets = vec![unselected.clone()];
        sets.extend(different.into_iter().take(MAX_SET.into()).cloned());
        let number = |set: &Vec<usize>| sets[1..].binary_search(set).ok().and_then(|at| u32::try_from(at + 1).ok());
        let cgroups = of_each.iter().filter_map(|(id, set)| Some((*id, number(set)?))).collect();
        Self { sets, cgroups }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(cgroup: &str, namespace: &str, pod: &str) -> Selector {
        let glob = |text: &str| (!text.is_empty()).then(|| glob::Pattern::new(text).expect(text));
        let cgroup = (!cgroup.is_empty()).then(|| cgroup.parse().expect(cgroup));
        Selector { cgroup, namespace: glob(namespace), pod: glob(pod), container: None }
    }

    fn policy(selector: Selector) -> Policy {
        Policy { selector, scope: Scope::ANYWHERE, keepalive: Mode::Exempt, on_conflict: None, adopt: None }
    }

    fn resident(id: u64, path: &str, pod: Option<(&str, &str)>) -> PodCgroup {
        let pod = pod.map(|(namespace, name)| Pod { namespace: namespace.into(), name: name.into(), container: None });
        PodCgroup { id, path: path.to_owned(), pod }
    }

    #[test]
    fn whose_flows() {
        let web = resident(1, "/kubepods.slice/x", Some(("shop", "web-0")));
        let table = [
            (selector("", "", ""), true),
            (selector("kubepods*", "", ""), true),
            (selector("system.slice", "", ""), false),
            (selector("", "shop", ""), true),
            (selector("", "shop", "web-*"), true),
            (selector("", "shop", "db-*"), false),
            (selector("kubepods*", "other", ""), false),
        ];
        for (selector, expected) in table {
            assert_eq!(selector.matches(&web), expected, "{selector:?}");
        }
        assert!(!selector("", "*", "").matches(&resident(2, "/a", None)), "no pod, no namespace");
    }

    #[test]
    fn cgroups_with_the_same_policies_share_a_number() {
        let policies = [policy(selector("", "shop", "")), policy(selector("", "", "")), policy(selector("a", "", ""))];
        let mut residents = [
            resident(10, "/a", None),
            resident(11, "/b", Some(("shop", "web"))),
            resident(12, "/c", Some(("shop", "db"))),
            resident(13, "/d", None),
        ];
        let sets = Sets::of(&policies, &residents);
        assert_eq!(sets.sets, [vec![1], vec![0, 1], vec![1, 2]]);
        assert_eq!(sets.cgroups, [(10, 2), (11, 1), (12, 1)]);
        residents.reverse();
        assert_eq!(Sets::of(&policies, &residents).sets, sets.sets);
        assert_eq!(Sets::of(&[], &residents).sets, [Vec::<usize>::new()]);
    }
}
