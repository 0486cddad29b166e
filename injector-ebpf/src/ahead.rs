//! Fetches what the next visits of a scan will need from memory.
//!
//! The kernel follows a list: from the entry of a flow to the storage of its
//! socket, and on to the socket. Each is a cache miss, which has to end before
//! the next can begin, and among many flows a scan did little else than wait
//! for them. So each visit reads the entry three flows on, the storage two
//! flows on and the next socket, all found by earlier visits: the processor
//! waits for the three at once.
//!
//! Nothing read here counts for anything. Where the list changes meanwhile a
//! read goes astray, which the helper survives, and a visit fetches for itself.

use injector_common::{
    offsets::{ELEMENT_DATA, ELEMENT_NEXT, ELEMENT_STORAGE, STATE, STORAGE_DATA, STORAGE_OWNER},
    record::FlowRecord,
    scan::Ahead,
};

use crate::{kernel, maps::offset};

/// Fetches for the flows after that of `record`.
#[inline(always)]
pub fn fetch(ahead: &mut Ahead, record: *const FlowRecord) {
    // Hints alone are no reason to refuse a kernel that keeps them elsewhere.
    if [ELEMENT_STORAGE, ELEMENT_DATA, STORAGE_DATA, STORAGE_OWNER].into_iter().any(|member| offset(member) == 0) {
        return;
    }
    if ahead.element == 0 {
        ahead.element = third_after(record);
    }
    let Ahead { element, storage, socket } = *ahead;
    *ahead = Ahead {
        element: read(element, ELEMENT_NEXT),
        storage: read(element, ELEMENT_STORAGE),
        socket: read(storage, STORAGE_OWNER),
    };
    read(socket, STATE);
}

#[inline(always)]
fn third_after(record: *const FlowRecord) -> u64 {
    let entry = record.cast::<u8>().wrapping_sub(offset(ELEMENT_DATA) + offset(STORAGE_DATA));
    let next = kernel::read(entry, ELEMENT_NEXT).unwrap_or(0);
    read(read(next, ELEMENT_NEXT), ELEMENT_NEXT)
}

/// A word; 0 where there is none, as at the end of the list.
#[inline(always)]
fn read(base: u64, member: usize) -> u64 {
    if base == 0 { 0 } else { kernel::read(base as *const u8, member).unwrap_or(0) }
}
