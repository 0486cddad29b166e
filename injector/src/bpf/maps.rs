//! Our values in and out of aya's maps.

use std::{
    fmt::{self, Debug, Formatter},
    path::Path,
};

use anyhow::Context as _;
use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, lpm_trie::Key},
};
use injector_common::{decision::RuleKey, names};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::pinned::{Pinned, refused};
use crate::rules::Entry;

/// A value that may cross the kernel boundary.
pub(super) trait Value: FromBytes + IntoBytes + Immutable + Copy + Debug + 'static {}
impl<T: FromBytes + IntoBytes + Immutable + Copy + Debug + 'static> Value for T {}

/// Passes on to aya what zerocopy has proved.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(super) struct Plain<T>(pub(super) T);

// SAFETY: `Value` promises that any bytes are a valid `T` and that `T` has no
// padding.
#[expect(unsafe_code, reason = "aya's marker trait is unsafe")]
unsafe impl<T: Value> Pod for Plain<T> {}

/// A pinned array of one value.
pub(super) struct Single<T: Value>(Array<MapData, Plain<T>>);

impl<T: Value> Debug for Single<T> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Single").field(&self.get()).finish()
    }
}

impl<T: Value> Single<T> {
    /// Opens the pin. Errors where it is gone or holds something else.
    pub(super) fn open(directory: &Path, name: &str) -> anyhow::Result<Self> {
        let pin = directory.join(name);
        of_expected_type(Array::try_from(open(&pin)?), &pin).map(Self)
    }

    pub(super) fn get(&self) -> anyhow::Result<T> {
        Ok(self.0.get(&0, 0).map(|Plain(value)| value)?)
    }

    pub(super) fn set(&mut self, value: T) -> anyhow::Result<()> {
        Ok(self.0.set(0, Plain(value), 0)?)
    }
}

/// A pinned array of many values.
pub(super) struct PinnedArray<T: Value>(Array<MapData, Plain<T>>);

impl<T: Value> Debug for PinnedArray<T> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("PinnedArray").field(&self.0.len()).finish()
    }
}

impl<T: Value> PinnedArray<T> {
    /// How many values it has room for.
    pub(super) fn len(&self) -> u32 {
        self.0.len()
    }

    /// Opens the pin. Errors where it is gone or holds something else.
    pub(super) fn open(directory: &Path, name: &str) -> anyhow::Result<Self> {
        let pin = directory.join(name);
        of_expected_type(Array::try_from(open(&pin)?), &pin).map(Self)
    }

    pub(super) fn get(&self, index: u32) -> anyhow::Result<T> {
        Ok(self.0.get(&index, 0).map(|Plain(value)| value)?)
    }
}

/// Fills an array before its programs run.
pub(super) fn fill<T: Value>(ebpf: &mut Ebpf, name: &str, values: &[T]) -> anyhow::Result<()> {
    let map = ebpf.map_mut(name).with_context(|| format!("the BPF object lacks the map {name}"))?;
    let mut array: Array<_, Plain<T>> = map.try_into()?;
    (0..).zip(values).try_for_each(|(index, value)| {
        array.set(index, Plain(*value), 0).with_context(|| format!("filling the map {name}"))
    })
}

/// Fills the trie of rules.
pub(super) fn fill_rules(ebpf: &mut Ebpf, entries: &[Entry]) -> anyhow::Result<()> {
    let map = ebpf.map_mut(names::RULES).with_context(|| format!("the BPF object lacks the map {}", names::RULES))?;
    let mut trie: LpmTrie<_, Plain<RuleKey>, u32> = map.try_into()?;
    entries.iter().try_for_each(|entry| {
        let key = Key::new(entry.bits, Plain(entry.key));
        trie.insert(&key, entry.decision, 0).with_context(|| format!("filling the map {}", names::RULES))
    })
}

/// Fills the map of cgroups.
pub(super) fn fill_cgroups(ebpf: &mut Ebpf, cgroups: &[(u64, u32)]) -> anyhow::Result<()> {
    let map =
        ebpf.map_mut(names::CGROUPS).with_context(|| format!("the BPF object lacks the map {}", names::CGROUPS))?;
    let mut map: HashMap<_, u64, u32> = map.try_into()?;
    cgroups
        .iter()
        .try_for_each(|(id, set)| map.insert(id, set, 0).with_context(|| format!("filling the map {}", names::CGROUPS)))
}

/// The pinned map of cgroups.
pub(super) struct Cgroups(HashMap<MapData, u64, u32>);

impl Debug for Cgroups {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("Cgroups")
    }
}

impl Cgroups {
    /// Opens the pin. Errors where it is gone or holds something else.
    pub(super) fn open(directory: &Path) -> anyhow::Result<Self> {
        let pin = directory.join(names::CGROUPS);
        of_expected_type(open(&pin)?.try_into(), &pin).map(Self)
    }

    /// The number of a cgroup; 0 for those that have none.
    pub(super) fn get(&self, id: u64) -> u32 {
        self.0.get(&id, 0).unwrap_or(0)
    }

    /// Makes it hold these and no others.
    pub(super) fn set(&mut self, cgroups: &[(u64, u32)]) -> anyhow::Result<()> {
        let wanted: std::collections::HashMap<_, _> = cgroups.iter().copied().collect();
        let there: std::collections::HashMap<_, _> = self.0.iter().filter_map(Result::ok).collect();
        for id in there.keys().filter(|id| !wanted.contains_key(id)) {
            self.0.remove(id).context("removing a cgroup")?;
        }
        for (id, set) in wanted.iter().filter(|(id, set)| there.get(id) != Some(set)) {
            self.0.insert(id, set, 0).context("entering a cgroup")?;
        }
        Ok(())
    }
}

/// A pinned per-CPU array of counters.
pub(super) struct PerCpu(PerCpuArray<MapData, u64>);

impl Debug for PerCpu {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("PerCpu").field(&self.sums()).finish()
    }
}

impl PerCpu {
    /// Opens the pin. Errors where it is gone or holds something else.
    pub(super) fn open(directory: &Path, name: &str) -> anyhow::Result<Self> {
        let pin = directory.join(name);
        of_expected_type(open(&pin)?.try_into(), &pin).map(Self)
    }

    /// The counters, summed over all CPUs.
    pub(super) fn sums(&self) -> anyhow::Result<Vec<u64>> {
        self.0.iter().map(|values| Ok(values?.iter().sum())).collect()
    }
}

/// Pins a map of a loaded object.
pub(super) fn pin(ebpf: &Ebpf, name: &str, pin: &Path) -> anyhow::Result<()> {
    let map = ebpf.map(name).with_context(|| format!("the BPF object lacks the map {name}"))?;
    map.pin(pin).with_context(|| format!("pinning {}", pin.display()))
}

/// Opens a pinned map of any type.
///
/// Errors with [`crate::error::Error::Refused`] where the pin isn't ours, or holds no map.
pub(super) fn open(pin: &Path) -> anyhow::Result<Map> {
    Pinned::map(pin.to_owned())?;
    let data = MapData::from_pin(pin).with_context(|| format!("opening {}", pin.display()))?;
    of_expected_type(Map::from_map_data(data), pin)
}

/// The map that a pin holds, if it has the expected type.
pub(super) fn of_expected_type<T>(map: Result<T, MapError>, pin: &Path) -> anyhow::Result<T> {
    map.map_err(|error| refused(pin, &format!("not a map of the expected type ({error})")))
}
