//! Socket-local storage from `sock_ops`. aya's own wrapper only takes the
//! context of `cgroup/sock_addr` programs.

use aya_ebpf::{
    bindings::{BPF_SK_STORAGE_GET_F_CREATE, bpf_sock},
    helpers::generated::{bpf_sk_storage_delete, bpf_sk_storage_get},
};
use injector_common::record::FlowRecord;

use crate::maps::{FLOWS, PACKETS, tracks_packets};

/// Gives `socket` the flow record, in place of one it may have from an earlier
/// connection: a socket can be disconnected and connected again (`connect(2)`,
/// `AF_UNSPEC`). Returns whether the kernel had the memory.
#[inline(always)]
pub fn store(socket: *mut bpf_sock, record: &mut FlowRecord) -> bool {
    // SAFETY: `socket` comes non-null from the context, and the kernel copies
    // as many bytes as the map's value has, which is the record's size.
    let stored = unsafe {
        bpf_sk_storage_get(
            (&raw const FLOWS).cast_mut().cast(),
            socket.cast(),
            (&raw mut *record).cast(),
            u64::from(BPF_SK_STORAGE_GET_F_CREATE),
        )
    }
    .cast::<FlowRecord>();
    if stored.is_null() {
        return false;
    }
    // SAFETY: a non-null result points to this socket's record.
    if unsafe { (*stored).opened_ns } != record.opened_ns {
        overwrite(stored, record);
        remove_packets(socket);
    }
    true
}

/// Removes what `socket` may have from an earlier connection.
#[inline(always)]
pub fn remove(socket: *mut bpf_sock) {
    // SAFETY: `socket` comes non-null from the context. Where it has no record
    // the helper says so, and that is fine.
    unsafe { bpf_sk_storage_delete((&raw const FLOWS).cast_mut().cast(), socket.cast()) };
    remove_packets(socket);
}

#[inline(always)]
fn remove_packets(socket: *mut bpf_sock) {
    if tracks_packets() {
        // SAFETY: as above.
        unsafe { bpf_sk_storage_delete((&raw const PACKETS).cast_mut().cast(), socket.cast()) };
    }
}

/// The flow record of `socket`, if it has one.
#[inline(always)]
pub fn find(socket: *mut bpf_sock) -> Option<*mut FlowRecord> {
    // SAFETY: `socket` comes non-null from the context.
    let found =
        unsafe { bpf_sk_storage_get((&raw const FLOWS).cast_mut().cast(), socket.cast(), core::ptr::null_mut(), 0) }
            .cast::<FlowRecord>();
    if found.is_null() { None } else { Some(found) }
}

/// Copies word by word: a plain assignment becomes a call to a byte loop, which
/// alone costs the verifier more than all the rest of the program.
#[inline(always)]
fn overwrite(stored: *mut FlowRecord, record: &FlowRecord) {
    const WORDS: usize = size_of::<FlowRecord>() / size_of::<u64>();
    const { assert!(WORDS * size_of::<u64>() == size_of::<FlowRecord>()) };
    let from = (&raw const *record).cast::<u64>();
    for word in 0..WORDS {
        // SAFETY: both are records, made of this many words without padding.
        unsafe { stored.cast::<u64>().add(word).write_volatile(from.add(word).read()) };
    }
}
