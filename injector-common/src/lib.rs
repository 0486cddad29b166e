//! What the BPF programs and userspace agree on: the layout of every value
//! that crosses the kernel boundary, and the decisions both sides must take
//! alike.
//!
//! Nothing that crosses is a `bool`, an `Option` or an enum: integers with
//! named constants, explicit padding and asserted sizes. Decisions are pure
//! functions, so they are tested without root and without a kernel.
#![no_std]
#![deny(unsafe_code)]

pub mod applied;
pub mod attachment;
pub mod conflict;
pub mod decision;
pub mod idle;
pub mod keepalive;
pub mod names;
pub mod offsets;
#[cfg_attr(target_arch = "bpf", expect(unsafe_code, reason = "a number that the compiler must read each time"))]
pub mod opaque;
pub mod packets;
pub mod record;
pub mod scan;
pub mod stats;
pub mod status;
pub mod timer;

/// Version of the layout of everything pinned. It is part of the pin path, so
/// a build never reads maps that another layout wrote. Raise it with any
/// change of a map's key or value.
pub const ABI_VERSION: u32 = 1;
