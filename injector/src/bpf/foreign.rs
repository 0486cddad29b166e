//! Other people's programs on the way of a cgroup's sockets.

use std::path::Path;

use aya::programs::loaded_programs;
use injector_common::names;

use super::sys;
use crate::cgroup::Cgroup;

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
    let mut found = Vec::new();
    for path in path.ancestors() {
        let cgroup = Cgroup::open(path)?;
        for (hook, attach_type) in HOOKS {
            for id in sys::attached_programs(std::os::fd::AsFd::as_fd(&cgroup), attach_type)? {
                let name = name(id);
                if name != names::KEEPALIVE {
                    found.push(Foreign { cgroup: path.display().to_string(), hook, id, name });
                }
            }
        }
    }
    Ok(found)
}

fn name(id: u32) -> String {
    loaded_programs()
        .flatten()
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(str::to_owned))
        .unwrap_or_default()
}
