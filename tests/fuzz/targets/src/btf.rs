//! The kernel's type information.

use injector::internals::Btf;
use injector_common::offsets::MEMBERS;

/// BTF. Whatever it says, each member is looked for, by paths that the kernel has and by one through all structures that
/// have no name.
pub fn btf(bytes: &[u8]) {
    let Ok(btf) = Btf::parse(bytes) else { return };
    for member in MEMBERS {
        drop(btf.offset_of(member.structure, member.path));
    }
    for (structure, path) in [("outer", "inner"), ("outer", "inner.field"), ("", ""), ("outer", "nowhere")] {
        drop(btf.offset_of(structure, path));
    }
}
