//! Directories in which something may appear or go: cgroups, pins, the
//! configuration file. Pins are also touched where flows are adopted.
//!
//! These are only hints. inotify can run out of watches, and the watch loop looks every few seconds anyway.

use std::{
    collections::BTreeSet,
    future::pending,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _};
use inotify::{Event, EventMask, EventStream, Inotify, WatchMask, Watches};

use super::orders::{Order, Orders};

/// Largest event: its header and a file name.
const BUFFER: usize = 16 + 256;
/// What happens within this time is one hint.
const TOGETHER: Duration = Duration::from_millis(20);

/// Adds directories.
#[derive(Clone)]
pub(super) struct Hints(Option<Watches>);

impl std::fmt::Debug for Hints {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Hints")
    }
}

/// Events in all directories that were added.
pub(super) type Events = EventStream<[u8; BUFFER]>;

impl Hints {
    /// Begins with no directory. To be called within a runtime.
    pub(super) fn new() -> (Self, Option<Events>) {
        match open() {
            Ok(events) => (Self(Some(events.watches())), Some(events)),
            Err(error) => {
                tracing::info!("without inotify, changes take seconds to notice: {error}");
                (Self(None), None)
            }
        }
    }

    /// Looks at directories whose entries come and go. One that is known
    /// already stays so; it may also be another one under its name.
    pub(super) fn entries(&mut self, directories: &BTreeSet<PathBuf>) {
        // Not their attributes: those of a delegated cgroup are its owner's to change, as often as it likes.
        let mask = WatchMask::CREATE | WatchMask::DELETE | WatchMask::MOVE | WatchMask::ONLYDIR;
        for directory in directories {
            self.add(directory, mask);
        }
    }

    /// Looks at a directory of pins: what is removed from it, and when it is
    /// touched.
    pub(super) fn pins(&mut self, directory: &Path) {
        let gone = WatchMask::DELETE_SELF | WatchMask::MOVE_SELF | WatchMask::DELETE | WatchMask::MOVED_FROM;
        self.add(directory, gone | WatchMask::ATTRIB | WatchMask::ONLYDIR);
    }

    /// Looks at the directory of a file that is written or replaced.
    pub(super) fn file(&mut self, path: &Path) {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let written = WatchMask::CLOSE_WRITE | WatchMask::CREATE | WatchMask::MOVED_TO;
        self.add(directory, written | WatchMask::MASK_ADD);
    }

    fn add(&mut self, directory: &Path, mask: WatchMask) {
        if let Some(watches) = &mut self.0
            && let Err(error) = watches.add(directory, mask | WatchMask::MASK_ADD)
        {
            tracing::debug!("no hints from {}: {error}", directory.display());
        }
    }
}

fn open() -> io::Result<Events> {
    Inotify::init()?.into_event_stream([0; BUFFER])
}

/// Wakes the watch loop whenever something happens. Never ends.
pub(super) async fn pass_on(events: &mut Option<Events>, orders: &Orders) {
    let Some(events) = events else { return pending().await };
    while let Some(first) = events.next().await {
        order(orders, [first]);
        tokio::time::sleep(TOGETHER).await;
        // What happened meanwhile is seen by the same look or the next one.
        order(orders, std::iter::from_fn(|| events.next().now_or_never().flatten()));
    }
    pending::<()>().await;
}

/// Sends the loop the orders that these events imply.
fn order<T>(orders: &Orders, events: impl IntoIterator<Item = io::Result<Event<T>>>) {
    let (mut is_adoption, mut is_other) = (false, false);
    for event in events {
        match event {
            // As `PinDir::touch` does.
            Ok(event) if event.mask.contains(EventMask::ATTRIB) => is_adoption = true,
            _ => is_other = true,
        }
    }
    if is_adoption {
        orders.give(Order::Scan);
    }
    if is_other {
        orders.look();
    }
}
