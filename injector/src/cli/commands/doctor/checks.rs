//! What injector requires.

use super::Check;
use crate::{
    bpf::{
        self, features,
        pins::BPFFS,
        preflight::{self, NEEDS, Need},
        reach,
    },
    host::{
        cgroup::{self, Cgroup},
        lockdown::{self, Lockdown},
    },
    rules::settings::Settings,
};

/// All of them, except those of a cgroup.
pub(super) fn all() -> Vec<Check> {
    let mut checks = vec![
        kernel(),
        btf(),
        lockdown(Lockdown::current()),
        cgroup_mount(),
        cgroup_namespace(),
        cgroups_of_sockets(),
        bpffs(),
    ];
    checks.extend(NEEDS.iter().map(capability));
    checks.push(programs());
    checks
}

/// The one that programs are to be attached to.
pub(super) fn cgroup(cgroup: &anyhow::Result<Cgroup>) -> Check {
    match cgroup {
        Ok(cgroup) if cgroup.is_namespace_root() => Check::missing(
            "cgroup",
            "/ is the root of a cgroup namespace, not of the host: attaching there is refused".to_owned(),
        ),
        Ok(cgroup) => Check::ok("cgroup", cgroup.path().display().to_string()),
        Err(error) => Check::missing("cgroup", format!("{error:#}")),
    }
}

/// The hooks of that cgroup, where programs of others may conflict.
pub(super) fn hooks(cgroup: &Cgroup) -> impl Iterator<Item = Check> {
    bpf::hooks(cgroup).into_iter().map(|(name, tried)| {
        let detail =
            tried.as_ref().map_or_else(|error| format!("{error:#}"), |()| "accepts injector's programs".to_owned());
        Check { what: format!("{name} hook"), ok: tried.is_ok(), required: name == "sock_ops", detail }
    })
}

fn cgroup_namespace() -> Check {
    if reach::is_namespaced() {
        let detail = "private: cgroup paths begin at its root, and / is not the host".to_owned();
        return Check { what: "cgroup namespace".to_owned(), ok: false, required: false, detail };
    }
    Check::ok("cgroup namespace", "the host's root is visible".to_owned())
}

fn cgroups_of_sockets() -> Check {
    match reach::fallback() {
        Some(detail) => Check { what: "cgroups of sockets".to_owned(), ok: false, required: false, detail },
        None => Check::ok("cgroups of sockets", "as they were made in".to_owned()),
    }
}

fn capability(need: &Need) -> Check {
    if need.is_met() {
        Check::ok(need.name, format!("for {}", need.purpose))
    } else {
        Check::missing(need.name, format!("needed for {}: grant it, or run injector as root", need.purpose))
    }
}

fn kernel() -> Check {
    Check::ok("kernel", format!("{} {}", features::release(), rustix::system::uname().machine().to_string_lossy()))
}

fn btf() -> Check {
    match bpf::Kernel::running() {
        Ok(_) => Check::ok("BTF", bpf::KERNEL_BTF.to_owned()),
        Err(error) => Check::missing("BTF", format!("{error:#}")),
    }
}

fn lockdown(level: Option<Lockdown>) -> Check {
    match level {
        Some(Lockdown::None) => Check::ok("lockdown", "none".to_owned()),
        Some(Lockdown::Integrity) => Check::ok("lockdown", "integrity, which allows reading".to_owned()),
        Some(Lockdown::Confidentiality) => Check::missing(
            "lockdown",
            "confidentiality: no program may read a socket's state; boot with lockdown=integrity".to_owned(),
        ),
        // Most likely there is none.
        None => Check::ok("lockdown", format!("unknown (no {})", lockdown::FILE)),
    }
}

fn cgroup_mount() -> Check {
    match cgroup::mount_point() {
        Ok(path) => Check::ok("cgroup v2", path.display().to_string()),
        Err(error) => Check::missing("cgroup v2", format!("{error:#}")),
    }
}

fn bpffs() -> Check {
    if preflight::has_bpffs() {
        Check::ok("bpffs", BPFFS.to_owned())
    } else {
        // Attaching would mount it, so this is no reason to fail.
        Check::ok("bpffs", format!("not mounted; `injector attach` mounts it at {BPFFS}"))
    }
}

/// Not guessed from the version: the programs are loaded, and attached to nothing.
fn programs() -> Check {
    preflight::lift_memory_limit();
    match bpf::probe(&Settings::default()) {
        Ok(()) => Check::ok("programs", "the kernel loads sock_ops, socket storage and its iterator".to_owned()),
        Err(error) => Check::missing("programs", format!("{error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_confidentiality_blocks_it() {
        for (level, is_ok) in [
            (Some(Lockdown::None), true),
            (Some(Lockdown::Integrity), true),
            (Some(Lockdown::Confidentiality), false),
            (None, true),
        ] {
            let check = lockdown(level);
            assert_eq!((check.ok, check.required), (is_ok, true), "{check:?}");
        }
    }
}
