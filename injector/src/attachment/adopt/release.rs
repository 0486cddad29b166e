//! Resets what adoption set on listeners: accepted connections would go on inheriting it.

use std::{collections::HashSet, os::fd::AsFd as _};

use injector_common::record::LISTENER;

use super::{
    holders::{HeldProcess, Look, SharedSocket, boot_ticks},
    options,
};
use crate::{
    attachment::census::{Census, pids},
    bpf::Attached,
    host::{cgroup::Resident, endpoint::address},
};

/// How many listeners a text names before it only counts them.
const NAMED: usize = 5;

/// The outcome of releasing adopted listeners.
#[derive(Debug, Default)]
pub(crate) struct Released {
    /// Those that could not be reset, by their addresses as far as they are known.
    left: Vec<String>,
}

/// Gives `listeners` of an attachment that is off its hooks, by their inode
/// numbers, back what they had before.
///
/// Errors where their records can't be read.
pub(crate) fn release(attached: &mut Attached, mut left: HashSet<u64>) -> anyhow::Result<Released> {
    let listed_at = boot_ticks();
    for pid in pids() {
        if left.is_empty() {
            break;
        }
        let resident = Resident { pid, cgroup_id: 0, is_partial: true };
        let Look::At(mut holder) = HeldProcess::open(resident, listed_at) else { continue };
        for (thread, number, inode) in holder.sockets() {
            if left.contains(&inode)
                && let Look::At(socket) = holder.take(thread, number)
                && restore(attached, &socket)
            {
                left.remove(&inode);
            }
        }
    }
    if left.is_empty() {
        return Ok(Released::default());
    }
    // Those that were closed meanwhile have no record any more.
    let still = attached.listeners()?;
    let census = Census::take();
    let name = |inode: &u64| {
        census.get(*inode).map_or_else(
            || "one in a network namespace that can't be seen".to_owned(),
            |listed| address(listed.endpoints.local_address, listed.endpoints.local_port).to_string(),
        )
    };
    let mut left: Vec<_> = left.intersection(&still).map(name).collect();
    left.sort_unstable();
    Ok(Released { left })
}

/// False where that can't be done.
fn restore(attached: &Attached, socket: &SharedSocket) -> bool {
    let Ok(Some(record)) = attached.record(socket.as_fd()) else { return false };
    let Ok(effective) = options::effective(socket.as_fd()) else { return false };
    let applied = record.applied.keepalive();
    if record.origin != LISTENER || !effective.is(&applied) {
        // The application has chosen since.
        return true;
    }
    let (was_enabled, before) = record.endpoints.before_adoption();
    options::restore(socket.as_fd(), was_enabled, &before, &applied).is_ok()
}

impl Released {
    /// The listeners that are left, in a sentence; `None` where none are.
    pub(crate) fn gap(&self) -> Option<String> {
        if self.left.is_empty() {
            return None;
        }
        let named = self.left.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        let more = self.left.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let listeners = match self.left.len() {
            1 => "1 adopted listener keeps".to_owned(),
            count => format!("{count} adopted listeners keep"),
        };
        Some(format!(
            "{listeners} passing keepalive on to accepted connections: {named}{more}; restart processes that injector may not inspect \
             (CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH)"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_named() {
        assert_eq!(Released::default().gap(), None);
        let left = (1..=7).map(|port| format!("0.0.0.0:{port}")).collect();
        let gap = Released { left }.gap().expect("some are");
        assert!(gap.starts_with("7 adopted listeners") && gap.contains("0.0.0.0:5 and 2 more"), "{gap}");
    }
}
