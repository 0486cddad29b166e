//! Foreign programs on the hooks of a cgroup's sockets.

use std::{
    collections::{HashMap, HashSet},
    os::fd::AsFd as _,
    path::Path,
};

use aya::programs::{ProgramInfo, loaded_programs};
use aya_obj::generated::bpf_attach_type;

use super::{attached::open_links, sys};
use crate::{
    bpf::pins::{self, PinDir},
    host::cgroup::Cgroup,
};

/// Hooks of a cgroup that concern its TCP sockets.
const HOOKS: [(&str, bpf_attach_type); 5] = [
    ("ingress", bpf_attach_type::BPF_CGROUP_INET_INGRESS),
    ("egress", bpf_attach_type::BPF_CGROUP_INET_EGRESS),
    ("sock_ops", bpf_attach_type::BPF_CGROUP_SOCK_OPS),
    ("getsockopt", bpf_attach_type::BPF_CGROUP_GETSOCKOPT),
    ("setsockopt", bpf_attach_type::BPF_CGROUP_SETSOCKOPT),
];

/// A program on a hook.
#[derive(Debug)]
pub(crate) struct Foreign {
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
pub(crate) fn foreign_programs(path: &Path) -> anyhow::Result<Vec<Foreign>> {
    let ours = our_programs()?;
    let names: HashMap<_, _> = loaded_programs().flatten().map(|program| (program.id(), name(&program))).collect();
    let mut found = Vec::new();
    for path in path.ancestors() {
        let cgroup = Cgroup::open(path)?;
        for (hook, attach_type) in HOOKS {
            let (ids, _) = sys::attached_programs(cgroup.as_fd(), attach_type)?;
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
    let mut ids = HashSet::new();
    for pins in PinDir::all()? {
        // Files that are not injector's hold none of its programs.
        for link in open_links(&pins).into_iter().flatten() {
            ids.insert(sys::cgroup_link(link.as_fd())?.program_id);
        }
    }
    Ok(ids)
}

fn name(program: &ProgramInfo) -> String {
    program.name_as_str().unwrap_or_default().to_owned()
}
