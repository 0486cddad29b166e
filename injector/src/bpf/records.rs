//! Flow records, by a descriptor of their socket.

use std::{
    fmt::{self, Debug, Formatter},
    os::fd::{AsRawFd as _, BorrowedFd},
    path::Path,
};

use anyhow::Context as _;
use aya::maps::{MapData, MapError, SkStorage};
use injector_common::{flow::FlowRecord, packets::PacketRecord};

use super::maps::{self, Plain};

/// `BPF_NOEXIST` and `BPF_EXIST` in include/uapi/linux/bpf.h.
const ONLY_NEW: u64 = 1;
const ONLY_OLD: u64 = 2;

/// The storage map. Access by descriptor since 5.2.
pub(super) struct Records(SkStorage<MapData, Plain<FlowRecord>>);

impl Debug for Records {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("Records")
    }
}

impl Records {
    /// Opens the pin. Errors where it is gone or holds something else.
    pub(super) fn open(pin: &Path) -> anyhow::Result<Self> {
        maps::as_told(maps::open(pin)?.try_into(), pin).map(Self)
    }

    /// Checks that the pin holds what tracked packets are recorded in.
    pub(super) fn check_packets(pin: &Path) -> anyhow::Result<()> {
        maps::as_told(SkStorage::<_, Plain<PacketRecord>>::try_from(maps::open(pin)?), pin).map(drop)
    }

    /// The record of a socket, if it has one.
    pub(super) fn get(&self, socket: BorrowedFd<'_>) -> anyhow::Result<Option<FlowRecord>> {
        match self.0.get(&socket.as_raw_fd(), 0) {
            Ok(Plain(record)) => Ok(Some(record)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error).context("looking up a flow record"),
        }
    }

    /// Gives a socket its first record, or replaces the one it has.
    pub(super) fn set(&mut self, socket: BorrowedFd<'_>, record: FlowRecord, is_new: bool) -> anyhow::Result<()> {
        let flags = if is_new { ONLY_NEW } else { ONLY_OLD };
        self.0.insert(&socket.as_raw_fd(), Plain(record), flags).context("writing a flow record")
    }
}
