//! Other people's programs on the way of a cgroup's sockets.

use std::{
    collections::{HashMap, HashSet},
    os::fd::AsFd as _,
    path::Path,
};

use aya::programs::{
    ProgramInfo,
    links::{FdLink, PinnedLink},
    loaded_programs,
};
use injector_common::names;

use super::sys;
use crate::{
    cgroup::Cgroup,
    pins::{self, PinDir},
};

/// Hooks of a cgroup that concern its TCP sockets, by their `enum
/// bpf_attach_type` in include/uapi/linux/bpf.h.
const HOOKS: [(&str, u32); 5] =
    [("ingress", 0), ("egress", 1), ("sock_ops", 3), ("getsockopt", 21), ("setsockopt", 22)];

/// A program on a hook.
#[derive(Debug)]
pub struct Foreign {
    /// The cgroup it is attached to.
    pub cgroup: String,
    /// The hook.
    pub hook: &'static str,
    /// Kernel's id of the program.
    pub id: u32,
    /// Its name, as far as the kernel keeps it.
    pub name: String,
}

/// Programs on the hooks of `path` and of every cgroup above it, but ours.
pub fn foreign_programs(path: &Path) -> anyhow::Result<Vec<Foreign>> {
    let ours = our_programs()?;
    let names: HashMap<_, _> = loaded_programs().flatten().map(|program| (program.id(), name(&program))).collect();
    let mut found = Vec::new();
    for path in path.ancestors() {
        let cgroup = Cgroup::open(path)?;
        for (hook, attach_type) in HOOKS {
            let ids = sys::attached_programs(cgroup.as_fd(), attach_type)?;
            found.extend(ids.into_iter().filter(|id| !ours.contains(id)).map(|id| Foreign {
                cgroup: path.display().to_string(),
                hook,
                id,
                name: names.get(&id).cloned().unwrap_or_default(),
            }));
        }
    }
    Ok(found)
}

/// Ids of the programs that our pinned links hold on their hooks.
fn our_programs() -> anyhow::Result<HashSet<u32>> {
    let _lock = pins::lock_for_listing()?;
    let attached = PinDir::all()?.into_iter().filter(PinDir::is_attached);
    attached
        .map(|pins| {
            let link = FdLink::from(PinnedLink::from_pin(pins.pin(names::KEEPALIVE))?);
            Ok(link.info()?.program_id())
        })
        .collect()
}

fn name(program: &ProgramInfo) -> String {
    program.name_as_str().unwrap_or_default().to_owned()
}
