//! Waking up when somebody touches the pins of an attachment, or its cgroup is
//! removed.
//!
//! Only a hint to look again: inotify can run out of watches, and looking at
//! every scan goes on.

use std::{future::pending, path::Path};

use futures_util::StreamExt as _;
use inotify::{EventStream, Inotify, WatchMask};

use crate::{bpf::Attached, cgroup};

/// Largest event: its header and a file name.
const BUFFER: usize = 16 + 256;

/// Notices changes around one attachment.
pub struct Notice(Option<EventStream<[u8; BUFFER]>>);

impl std::fmt::Debug for Notice {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Notice")
    }
}

impl Notice {
    /// Begins to look at the pins and the cgroup of `attached`.
    pub fn of(attached: &Attached) -> Self {
        let stream = watch(attached);
        if let Err(error) = &stream {
            tracing::info!("changes from outside are noticed at the next scan only: {error:#}");
        }
        Self(stream.ok())
    }

    /// Waits for a change. Never returns where nothing can be noticed.
    pub async fn change(&mut self) {
        let next = match &mut self.0 {
            Some(stream) => stream.next().await,
            None => pending().await,
        };
        if !matches!(next, Some(Ok(_))) {
            self.0 = None;
        }
    }
}

fn watch(attached: &Attached) -> anyhow::Result<EventStream<[u8; BUFFER]>> {
    let inotify = Inotify::init()?;
    let gone = WatchMask::DELETE_SELF | WatchMask::MOVE_SELF;
    for pins in [attached.pins().path().as_path(), attached.generation_path()] {
        inotify.watches().add(pins, gone | WatchMask::DELETE | WatchMask::MOVED_FROM)?;
    }
    let cgroup = cgroup::directory(Path::new(&attached.cgroup_path()))?;
    inotify.watches().add(cgroup, gone)?;
    Ok(inotify.into_event_stream([0; BUFFER])?)
}
