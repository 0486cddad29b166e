//! Whether programs on a cgroup see the sockets that they should.

use std::{fs, path::Path, sync::Once};

use super::features;
use crate::{error::Error, host::cgroup::Cgroup};

/// Since 8520e224f547 sockets belong to their cgroup whatever cgroup v1 does.
const SINCE: (u32, u32) = (5, 15);
/// Controllers of cgroup v1 that mark sockets, by the very word that names their cgroup.
const MARKING: [&str; 2] = ["net_cls", "net_prio"];

/// Checks that `/` is the whole host, and warns where programs on `cgroup` would miss sockets.
///
/// Errors with [`Error::Unsupported`].
pub(super) fn check(cgroup: &Cgroup) -> anyhow::Result<()> {
    if cgroup.is_namespace_root() {
        return Err(Error::Unsupported {
            what: "the cgroup / is not the host's root here, but that of a cgroup namespace: one cgroup of many"
                .to_owned(),
            cure:
                "run in the host's cgroup namespace (`docker run --cgroupns=host`), bind the host's /sys/fs/cgroup in, \
                   or give a cgroup below"
                    .to_owned(),
        }
        .into());
    }
    if cgroup.path() != Path::new("/") {
        WARNED.call_once(warn);
    }
    Ok(())
}

/// A warning for all cgroups but the root, given once.
static WARNED: Once = Once::new();

fn warn() {
    if is_namespaced() {
        tracing::warn!("paths of cgroups begin at the root of a cgroup namespace, which is not the host's");
    }
    if let Some(why) = fallback() {
        tracing::warn!("{why}");
    }
}

/// Whether the root of what is seen of cgroup v2 is not the host's.
pub(crate) fn is_namespaced() -> bool {
    Cgroup::open(Path::new("/")).is_ok_and(|root| root.is_namespace_root())
}

/// Why sockets belong to the root of cgroup v2 on this host, whatever cgroup they were made in, and the remedy.
pub(crate) fn fallback() -> Option<String> {
    falls_to_root(&features::release(), &fs::read_to_string("/proc/cgroups").unwrap_or_default())
}

/// From the kernel's version and `/proc/cgroups`: once a cgroup of a marking controller was used, the kernel no longer
/// notes the cgroup of new sockets (`cgroup_sk_alloc_disable()`), until it boots again.
fn falls_to_root(release: &str, controllers: &str) -> Option<String> {
    if features::version(release).is_none_or(|version| version >= SINCE) {
        return None;
    }
    let in_use = controllers.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (name, hierarchy, count) = (fields.next()?, fields.next()?, fields.next()?);
        let is_in_use = hierarchy != "0" && count.parse::<u32>().ok()? > 1;
        (MARKING.contains(&name) && is_in_use).then_some(name)
    })?;
    Some(format!(
        "new sockets belong to the root of cgroup v2 while {in_use} of cgroup v1 is in use (before Linux 5.15; this is \
         {release}), so only programs on / see them: boot with cgroup_no_v1=net_cls,net_prio, or attach to /"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_fall_to_the_root_where_an_old_kernel_marks_them() {
        let table = |name: &str, hierarchy: u32, count: u32| {
            format!("#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t2\t9\t1\n{name}\t{hierarchy}\t{count}\t1\n")
        };
        for (release, controllers, expected) in [
            ("5.10.0-32-amd64", table("net_prio", 7, 3), Some("net_prio")),
            ("5.14.21", table("net_cls", 7, 2), Some("net_cls")),
            ("5.10.0", table("net_cls", 7, 1), None),
            ("5.10.0", table("net_cls", 0, 90), None),
            ("5.10.0", table("memory", 7, 90), None),
            ("5.15.0", table("net_cls", 7, 3), None),
            ("6.18.5", table("net_prio", 7, 3), None),
            ("odd", table("net_prio", 7, 3), None),
            ("5.10.0", String::new(), None),
        ] {
            let found = falls_to_root(release, &controllers);
            assert_eq!(found.is_some(), expected.is_some(), "{release} {controllers}");
            assert!(found.is_none_or(|text| text.contains(expected.unwrap_or_default())), "{release} {controllers}");
        }
    }
}
