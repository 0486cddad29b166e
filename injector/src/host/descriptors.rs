//! File descriptors: each attachment takes some twenty of them.

use anyhow::bail;
use procfs::process::Process;
use rustix::process::{Resource, getrlimit, setrlimit};

/// As many are left for clients, scans and files: an agent that can attach to no
/// more cgroups still looks after those that it has. Where there are few, a
/// quarter.
const RESERVE: u64 = 320;

/// Asks for as many as this process may have. Most service managers and shells
/// grant far more than they give.
pub(crate) fn lift_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!("RLIMIT_NOFILE stays as it is: {error}");
    }
}

/// Whether there are enough for one more attachment.
///
/// Errors where there are not, with the cure.
pub(crate) fn check() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let open = Process::myself()?.fd_count()? as u64;
    if is_room(open, limit) {
        return Ok(());
    }
    bail!(
        "{open} of {limit} file descriptors are in use, and the others are for clients and scans: raise the limit \
         (LimitNOFILE= of the unit), or attach to a cgroup above these"
    )
}

fn is_room(open: u64, limit: u64) -> bool {
    open.saturating_add(RESERVE.min(limit / 4)) < limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_left() {
        for (open, limit, expected) in [
            (20, 1024, true),
            (767, 1024, true),
            (768, 1024, false),
            (1024, 1024, false),
            (74, 100, true),
            (75, 100, false),
            (65_000, 65_536, true),
            (65_300, 65_536, false),
            (u64::MAX - 1, u64::MAX, false),
            (1_000_000, u64::MAX, true),
        ] {
            assert_eq!(is_room(open, limit), expected, "{open} of {limit}");
        }
    }
}
