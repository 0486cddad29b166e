//! Which processes hold which sockets.

use std::{collections::HashMap, time::Duration};

use procfs::process::{Process, all_processes};

use crate::host::tables::{self, descriptor_tables};

/// The sockets of processes, looked up once each.
#[derive(Debug, Default)]
pub(crate) struct Holdings(HashMap<i32, Holding>);

/// What a process holds.
#[derive(Debug)]
pub(crate) enum Holding {
    /// Its sockets.
    Sockets {
        /// When it was started, since boot.
        started: Duration,
        /// Inode numbers of its sockets, of whatever kind, with whether a thread
        /// has a table of its own that holds it.
        sockets: Vec<(u64, bool)>,
    },
    /// Access is denied.
    Hidden,
    /// It has ended.
    Ended,
}

impl Holdings {
    /// Those of all processes.
    pub(crate) fn of_all() -> Self {
        let mut holdings = Self::default();
        for pid in pids() {
            holdings.get(pid);
        }
        holdings
    }

    /// What a process holds; one that is not visible is hidden.
    pub(crate) fn get(&mut self, pid: i32) -> &Holding {
        self.0.entry(pid).or_insert_with(|| look(pid))
    }
}

/// Ids of all processes that are visible.
pub(crate) fn pids() -> impl Iterator<Item = i32> {
    all_processes().into_iter().flatten().flatten().map(|process| process.pid)
}

fn look(pid: i32) -> Holding {
    if pid == 0 {
        return Holding::Hidden;
    }
    let Ok(stat) = Process::new(pid).and_then(|process| process.stat()) else { return Holding::Ended };
    match descriptor_tables(pid) {
        Ok(tables) => {
            let sockets =
                tables.iter().flat_map(|table| table.sockets.iter().map(|(_, inode)| (*inode, table.thread != pid)));
            Holding::Sockets { started: ticks(stat.starttime), sockets: sockets.collect() }
        }
        Err(error) if tables::has_ended(&error) => Holding::Ended,
        Err(_) => Holding::Hidden,
    }
}

fn ticks(count: u64) -> Duration {
    Duration::from_millis(count.saturating_mul(1000) / procfs::ticks_per_second())
}
