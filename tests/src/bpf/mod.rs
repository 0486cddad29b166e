//! The kernel's BPF objects, seen and made without `injector`.

pub(crate) mod foreign;
pub(crate) mod objects;
