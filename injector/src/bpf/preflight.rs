//! What must be there before anything is attached.

use std::{fs, io, path::Path};

use rustix::{
    fs::statfs,
    io::Errno,
    mount::{MountFlags, mount},
    process::{Resource, Rlimit, setrlimit},
    thread::{CapabilitySet, capabilities},
};

use crate::{bpf::pins::BPFFS, error::Error, host::lockdown::Lockdown};

/// `BPF_FS_MAGIC` in include/uapi/linux/magic.h.
const BPFFS_MAGIC: u64 = 0xcafe_4a11;

/// A capability that injector needs, and what for.
#[derive(Debug)]
pub struct Need {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    capability: CapabilitySet,
}

/// Since 5.8, when `CAP_BPF` and `CAP_PERFMON` were split from
/// `CAP_SYS_ADMIN`, which still stands in for them.
pub const NEEDS: [Need; 3] = [
    Need { name: "CAP_BPF", purpose: "maps and programs", capability: CapabilitySet::BPF },
    Need { name: "CAP_NET_ADMIN", purpose: "programs on a cgroup's sockets", capability: CapabilitySet::NET_ADMIN },
    Need { name: "CAP_PERFMON", purpose: "reading the sockets' state", capability: CapabilitySet::PERFMON },
];

/// For taking descriptors from processes of other users, and seeing which they
/// have.
pub const ADOPTION_NEEDS: [Need; 2] = [
    Need { name: "CAP_SYS_PTRACE", purpose: "adoption", capability: CapabilitySet::SYS_PTRACE },
    Need { name: "CAP_DAC_READ_SEARCH", purpose: "adoption", capability: CapabilitySet::DAC_READ_SEARCH },
];

impl Need {
    /// Whether this process has it.
    pub fn is_met(&self) -> bool {
        let effective = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
        let stand_in = self.capability != CapabilitySet::NET_ADMIN && effective.contains(CapabilitySet::SYS_ADMIN);
        stand_in || effective.contains(self.capability)
    }
}

/// Makes the host ready for attaching: whatever has to be there before.
///
/// Errors with [`Error::Privilege`] or [`Error::Unsupported`].
pub fn prepare() -> Result<(), Error> {
    check_capabilities()?;
    check_lockdown()?;
    ensure_bpffs()?;
    lift_memory_limit();
    Ok(())
}

/// Checks the capabilities.
///
/// Errors with [`Error::Privilege`], naming those that are missing.
pub fn check_capabilities() -> Result<(), Error> {
    let missing: Vec<_> = NEEDS.iter().filter(|need| !need.is_met()).map(|need| need.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::Privilege {
        what: format!("{} missing", missing.join(", ")),
        cure: "run injector as root, or grant CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON".to_owned(),
    })
}

/// Checks that programs may read the kernel's memory. Where they may not, most
/// kernels refuse to load them, for a reason that few will understand.
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
pub fn has_bpffs() -> bool {
    statfs(BPFFS).is_ok_and(|info| u64::try_from(info.f_type & 0xffff_ffff) == Ok(BPFFS_MAGIC))
}

/// Mounts bpffs where it is missing.
///
/// Errors with [`Error::Privilege`] or [`Error::Unsupported`], with the
/// command that would do it.
pub fn ensure_bpffs() -> Result<(), Error> {
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

/// Before 5.11 the memory of maps counts against `RLIMIT_MEMLOCK`. Raising it
/// takes a privilege; where it can't be raised, loading will tell.
pub fn lift_memory_limit() {
    if let Err(error) = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None }) {
        tracing::debug!("RLIMIT_MEMLOCK stays as it is: {}", io::Error::from(error));
    }
}
