//! Waking up when somebody removes pins of an attachment or adopts flows into
//! it, or its cgroup is removed.
//!
//! Only a hint to look again: inotify can run out of watches, and looking at
//! every scan goes on.

use std::future::pending;

use futures_util::StreamExt as _;
use inotify::{EventMask, EventStream, Inotify, WatchMask};

use crate::{bpf::Attached, host::cgroup};

/// Largest event: its header and a file name.
const BUFFER: usize = 16 + 256;

/// What may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Its pins, or its cgroup.
    Standing,
    /// There are flows that were not seen when they were opened.
    Flows,
}

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
    pub async fn change(&mut self) -> Change {
        let next = match &mut self.0 {
            Some(stream) => stream.next().await,
            None => pending().await,
        };
        match next {
            // As `PinDir::touch` does.
            Some(Ok(event)) if event.mask.contains(EventMask::ATTRIB) => Change::Flows,
            Some(Ok(_)) => Change::Standing,
            _ => {
                self.0 = None;
                Change::Standing
            }
        }
    }
}

fn watch(attached: &Attached) -> anyhow::Result<EventStream<[u8; BUFFER]>> {
    let inotify = Inotify::init()?;
    let gone = WatchMask::DELETE_SELF | WatchMask::MOVE_SELF;
    let gone = gone | WatchMask::DELETE | WatchMask::MOVED_FROM;
    inotify.watches().add(attached.pins().path(), gone | WatchMask::ATTRIB)?;
    inotify.watches().add(attached.generation_path(), gone)?;
    let cgroup = cgroup::directory(&attached.cgroup_path())?;
    // cgroups tell of their end to their parent alone.
    inotify.watches().add(cgroup.parent().unwrap_or(&cgroup), WatchMask::DELETE)?;
    Ok(inotify.into_event_stream([0; BUFFER])?)
}
