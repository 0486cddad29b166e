//! Flow records, by a descriptor of their socket.

use std::{
    fmt::{self, Debug, Formatter},
    os::fd::{AsRawFd as _, BorrowedFd},
    path::Path,
};

use anyhow::{Context as _, bail};
use aya::maps::{MapData, MapError, SkStorage};
use injector_common::{packets::PacketRecord, record::FlowRecord};

use super::maps::{self, Plain};

/// `BPF_NOEXIST` and `BPF_EXIST` in include/uapi/linux/bpf.h.
const ONLY_NEW: u64 = 1;
const ONLY_OLD: u64 = 2;

/// Two writers that create a socket's storage can collide once (`EAGAIN` from `bpf_local_storage_alloc` in
/// `kernel/bpf/bpf_local_storage.c`). More collisions are not a coincidence.
const MAX_TRIES: u32 = 10;

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
        maps::of_expected_type(maps::open(pin)?.try_into(), pin).map(Self)
    }

    /// Checks that the pin holds what tracked packets are recorded in.
    pub(super) fn check_packets(pin: &Path) -> anyhow::Result<()> {
        maps::of_expected_type(SkStorage::<_, Plain<PacketRecord>>::try_from(maps::open(pin)?), pin).map(drop)
    }

    /// The record of a socket, if it has one.
    pub(super) fn get(&self, socket: BorrowedFd<'_>) -> anyhow::Result<Option<FlowRecord>> {
        match self.0.get(&socket.as_raw_fd(), 0) {
            Ok(Plain(record)) => Ok(Some(record)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error).context("looking up a flow record"),
        }
    }

    /// Gives a socket its first record, or replaces the one it has. False where it has one against expectation, or none.
    pub(super) fn set(&mut self, socket: BorrowedFd<'_>, record: FlowRecord, is_new: bool) -> anyhow::Result<bool> {
        let flags = if is_new { ONLY_NEW } else { ONLY_OLD };
        for _ in 0..MAX_TRIES {
            match self.0.insert(&socket.as_raw_fd(), Plain(record), flags) {
                Err(error) if errno(&error) == Some(libc::EAGAIN) => {}
                Err(error) if matches!(errno(&error), Some(libc::EEXIST | libc::ENOENT)) => return Ok(false),
                result => return result.map(|()| true).context("writing a flow record"),
            }
        }
        bail!("writing a flow record: others keep writing to the storage of this socket")
    }
}

fn errno(error: &MapError) -> Option<i32> {
    match error {
        MapError::SyscallError(error) => error.io_error.raw_os_error(),
        _ => None,
    }
}
