//! The rules of an attachment, looked up as the programs do.

use std::{
    fmt::{self, Debug, Formatter},
    path::Path,
    sync::Arc,
};

use anyhow::Context as _;
use aya::maps::{LpmTrie, MapData, MapError, lpm_trie::Key};
use injector_common::{
    decision::{Best, Decision, HopName, KEY_BITS, LOOKUPS, NO_HOP, RuleKey, Selection, key},
    names,
    record::Endpoints,
    stats::PASSIVE,
};

use super::maps::{self, Cgroups, PinnedArray, Plain};

/// Pinned rules and decisions.
pub(super) struct PinnedRules {
    rules: LpmTrie<MapData, Plain<RuleKey>, u32>,
    decisions: PinnedArray<Decision>,
    pub(super) cgroups: Cgroups,
}

impl Debug for PinnedRules {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("PinnedRules").field(&self.decisions).finish()
    }
}

/// Names of the hops of a generation, looked up where they are needed.
#[derive(Clone, Debug)]
pub struct Hops(Arc<PinnedArray<HopName>>);

impl Hops {
    /// Opens the pin in `directory`.
    pub(super) fn open(directory: &Path) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(PinnedArray::open(directory, names::HOPS)?)))
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.0.len()).map_while(|index| self.name(index)).filter(|name| !name.is_empty())
    }

    /// The name of a hop, by its index; `None` where it is none.
    pub fn name(&self, index: u32) -> Option<String> {
        let name = (index != NO_HOP).then(|| self.0.get(index))?.ok()?;
        Some(String::from_utf8_lossy(name.as_bytes_of_name()).into_owned())
    }
}

impl PinnedRules {
    /// Opens the pins in `directory`.
    pub(super) fn open(directory: &Path) -> anyhow::Result<Self> {
        let pin = directory.join(names::RULES);
        let rules = maps::of_expected_type(maps::open(&pin)?.try_into(), &pin)?;
        Ok(Self {
            rules,
            decisions: PinnedArray::open(directory, names::DECISIONS)?,
            cgroups: Cgroups::open(directory)?,
        })
    }

    /// A decision, by its index.
    pub(super) fn decision(&self, index: u32) -> anyhow::Result<Decision> {
        self.decisions.get(index)
    }

    /// Which limits apply to a flow of a cgroup.
    pub(super) fn choose(&self, endpoints: &Endpoints, direction: u8, cgroup_id: u64) -> anyhow::Result<Selection> {
        let mut best = Best::NONE;
        let set = u16::try_from(self.cgroups.get(cgroup_id)).unwrap_or(0);
        for lookup in LOOKUPS {
            let key = Key::new(KEY_BITS, Plain(key(lookup, endpoints, direction == PASSIVE, set)));
            match self.rules.get(&key, 0) {
                Ok(index) => best.consider(index, &self.decision(index)?, endpoints.are_local()),
                Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(error).context("looking up a rule"),
            }
        }
        Ok(best.choice)
    }
}
