//! Requirements of attaching.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    fs::{major, minor, statfs},
    io::Errno,
    mount::{MountFlags, mount},
    process::{Resource, Rlimit, setrlimit},
    thread::{CapabilitySet, capabilities},
};

use crate::{bpf::pins::BPFFS, error::Error, host::lockdown::Lockdown};

/// `BPF_FS_MAGIC` in include/uapi/linux/magic.h.
const BPFFS_MAGIC: u64 = 0xcafe_4a11;

/// Whether this process mounted bpffs.
static MOUNTED_HERE: AtomicBool = AtomicBool::new(false);

/// A capability that injector needs, and its purpose.
#[derive(Debug)]
pub(crate) struct Need {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    capability: CapabilitySet,
}

/// Since 5.8, when `CAP_BPF` and `CAP_PERFMON` were split from
/// `CAP_SYS_ADMIN`, which still stands in for them.
pub(crate) const NEEDS: [Need; 3] = [
    Need { name: "CAP_BPF", purpose: "maps and programs", capability: CapabilitySet::BPF },
    Need { name: "CAP_NET_ADMIN", purpose: "programs on a cgroup's sockets", capability: CapabilitySet::NET_ADMIN },
    Need { name: "CAP_PERFMON", purpose: "reading the sockets' state", capability: CapabilitySet::PERFMON },
];

/// For taking descriptors from processes of other users, and seeing which they
/// have.
pub(crate) const ADOPTION_NEEDS: [Need; 2] = [
    Need { name: "CAP_SYS_PTRACE", purpose: "adoption", capability: CapabilitySet::SYS_PTRACE },
    Need { name: "CAP_DAC_READ_SEARCH", purpose: "adoption", capability: CapabilitySet::DAC_READ_SEARCH },
];

impl Need {
    /// Whether this process has it.
    pub(crate) fn is_met(&self) -> bool {
        let effective = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
        let stand_in = self.capability != CapabilitySet::NET_ADMIN && effective.contains(CapabilitySet::SYS_ADMIN);
        stand_in || effective.contains(self.capability)
    }
}

/// Prepares the host for attaching.
///
/// Errors with [`Error::Privilege`] or [`Error::Unsupported`].
pub(crate) fn prepare() -> Result<(), Error> {
    check_capabilities()?;
    check_lockdown()?;
    ensure_bpffs()?;
    lift_memory_limit();
    Ok(())
}

/// Checks the capabilities.
///
/// Errors with [`Error::Privilege`], naming those that are missing.
pub(crate) fn check_capabilities() -> Result<(), Error> {
    let missing: Vec<_> = NEEDS.iter().filter(|need| !need.is_met()).map(|need| need.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::Privilege {
        what: format!("{} missing", missing.join(", ")),
        cure: "run injector as root, or grant CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON".to_owned(),
    })
}

/// Checks that programs may read the kernel's memory. Where they may not, most kernels refuse to load them, with an
/// obscure error.
///
/// Errors with [`Error::Unsupported`].
fn check_lockdown() -> Result<(), Error> {
    if Lockdown::current() != Some(Lockdown::Confidentiality) {
        return Ok(());
    }
    Err(Error::Unsupported {
        what: "kernel lockdown is at confidentiality, where no program may read a socket's state".to_owned(),
        cure: "boot with lockdown=integrity".to_owned(),
    })
}

/// Whether bpffs is mounted where it belongs.
pub(crate) fn has_bpffs() -> bool {
    statfs(BPFFS).is_ok_and(|info| u64::try_from(info.f_type & 0xffff_ffff) == Ok(BPFFS_MAGIC))
}

/// Mounts bpffs where it is missing.
///
/// Errors with [`Error::Privilege`] or [`Error::Unsupported`], with the
/// command that would do it.
pub(crate) fn ensure_bpffs() -> Result<(), Error> {
    if has_bpffs() {
        return Ok(());
    }
    let cure = || format!("mount it: mount -t bpf bpf {BPFFS}");
    if !Path::new(BPFFS).exists()
        && let Err(error) = fs::create_dir_all(BPFFS)
    {
        return Err(Error::Unsupported { what: format!("there is no {BPFFS} ({error})"), cure: cure() });
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RELATIME;
    match mount("bpf", BPFFS, "bpf", flags, Some(c"mode=0700")) {
        Ok(()) => {
            MOUNTED_HERE.store(true, Ordering::Relaxed);
            tracing::info!("mounted bpffs at {BPFFS}");
            Ok(())
        }
        Err(error @ (Errno::PERM | Errno::ACCESS)) => {
            Err(Error::Privilege { what: format!("bpffs is not mounted at {BPFFS} ({error})"), cure: cure() })
        }
        Err(error) => {
            Err(Error::Unsupported { what: format!("bpffs is not mounted at {BPFFS} ({error})"), cure: cure() })
        }
    }
}

/// Checks that bpffs is still mounted once this process has ended, so that pins can outlive it.
///
/// Errors with [`Error::Unsupported`].
pub(crate) fn check_bpffs_lasts() -> Result<(), Error> {
    if bpffs_lasts() {
        return Ok(());
    }
    Err(Error::Unsupported {
        what: format!(
            "bpffs is mounted at {BPFFS} in this mount namespace alone, so pins are lost with its last process"
        ),
        cure: format!(
            "mount it outside (on the host: mount -t bpf bpf {BPFFS}) and bind it in, or attach in the foreground, \
             without --detach and --keep"
        ),
    })
}

/// Whether bpffs outlives us: another process mounted it, or the first process sees our mount. Where its mounts can't
/// be read, ours counts as one of this namespace alone.
fn bpffs_lasts() -> bool {
    let is_seen = || match (fs::read("/proc/1/mountinfo"), fs::metadata(BPFFS)) {
        (Ok(mountinfo), Ok(bpffs)) => has_mount_of(&mountinfo, bpffs.dev()),
        _ => false,
    };
    !MOUNTED_HERE.load(Ordering::Relaxed) || process::id() != 1 && is_seen()
}

/// Whether a file system with this device is mounted there. The fields are those of `proc_pid_mountinfo(5)`.
fn has_mount_of(mountinfo: &[u8], device: u64) -> bool {
    let wanted = format!("{}:{}", major(device), minor(device));
    let is_it = |line: &[u8]| line.split(|&byte| byte == b' ').nth(2).is_some_and(|found| found == wanted.as_bytes());
    mountinfo.split(|&byte| byte == b'\n').any(is_it)
}

/// Before 5.11 the memory of maps counts against `RLIMIT_MEMLOCK`. Raising it
/// takes a privilege; where it can't be raised, loading reports it.
pub(crate) fn lift_memory_limit() {
    if let Err(error) = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None }) {
        tracing::debug!("RLIMIT_MEMLOCK stays as it is: {}", io::Error::from(error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_known_by_its_device() {
        let lines =
            b"24 1 0:22 / /sys rw - sysfs sysfs rw\n32 24 0:31 / /sys/fs/bpf rw shared:9 - bpf bpf rw,mode=700\n";
        for (minor, expected) in [(31, true), (22, true), (3, false), (1, false), (131, false)] {
            assert_eq!(has_mount_of(lines, rustix::fs::makedev(0, minor)), expected, "{minor}");
        }
        assert!(!has_mount_of(b"", 0));
    }
}
