//! Our values in and out of aya's maps.

use std::{
    fmt::{self, Debug, Formatter},
    path::Path,
};

use anyhow::Context as _;
use aya::{
    Ebpf, Pod,
    maps::{Array, Map, MapData, PerCpuArray},
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A value that may cross the kernel boundary.
pub(super) trait Value: FromBytes + IntoBytes + Immutable + Copy + Debug + 'static {}
impl<T: FromBytes + IntoBytes + Immutable + Copy + Debug + 'static> Value for T {}

/// Tells aya what zerocopy has proved.
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
        Array::try_from(open(&pin)?).map(Self).with_context(|| format!("{} is not what it should be", pin.display()))
    }

    pub(super) fn get(&self) -> anyhow::Result<T> {
        Ok(self.0.get(&0, 0).map(|Plain(value)| value)?)
    }

    pub(super) fn set(&mut self, value: T) -> anyhow::Result<()> {
        Ok(self.0.set(0, Plain(value), 0)?)
    }
}

/// Fills an array of one value before its programs run.
pub(super) fn set<T: Value>(ebpf: &mut Ebpf, name: &str, value: &T) -> anyhow::Result<()> {
    let map = ebpf.map_mut(name).with_context(|| format!("the BPF object lacks the map {name}"))?;
    let mut array: Array<_, Plain<T>> = map.try_into()?;
    array.set(0, Plain(*value), 0).with_context(|| format!("filling the map {name}"))
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
        open(&pin)?.try_into().map(Self).with_context(|| format!("{} is not what it should be", pin.display()))
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

/// Opens a pinned map.
pub(super) fn open(pin: &Path) -> anyhow::Result<Map> {
    let data = MapData::from_pin(pin).with_context(|| format!("opening {}", pin.display()))?;
    Ok(Map::from_map_data(data)?)
}
