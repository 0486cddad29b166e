//! The BPF programs' own messages, for `-vv`.

use std::fmt::{self, Debug, Formatter};

use anyhow::Context as _;
use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
};
use tokio::io::{Interest, unix::AsyncFd};
use tracing::Level;

use super::{Message, object::LOG_MAP};

/// A stream of messages, passed on to our own log.
pub struct BpfLog {
    records: AsyncFd<RingBuf<MapData>>,
    /// Whether a record that is no message has been told of.
    has_warned: bool,
}

impl Debug for BpfLog {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("BpfLog")
    }
}

impl BpfLog {
    /// Takes the ring buffer out of `ebpf`. `None` where the object holds no
    /// message at all.
    pub(super) fn open(ebpf: &mut Ebpf) -> anyhow::Result<Option<Self>> {
        let Some(map) = ebpf.take_map(LOG_MAP) else { return Ok(None) };
        let records = RingBuf::try_from(map).context("opening the BPF programs' log")?;
        // SAFETY: the ring buffer owns its map, and so the same descriptor for
        // as long as it lives.
        #[expect(unsafe_code, reason = "a promise that tokio asks for")]
        let records = unsafe { AsyncFd::register_with_interest(records, Interest::READABLE) }?;
        Ok(Some(Self { records, has_warned: false }))
    }

    /// Waits for messages and passes them on. Drains the buffer before the
    /// readiness is cleared, or what came in between would wait for the next.
    pub async fn pass_on(&mut self) -> std::io::Result<()> {
        let mut guard = self.records.readable_mut().await?;
        while let Some(record) = guard.get_inner_mut().next() {
            match Message::parse(&record) {
                Ok(message) => tell(&message),
                Err(error) if !self.has_warned => {
                    self.has_warned = true;
                    tracing::warn!("left out of the BPF programs' log what is no message of theirs: {error}");
                }
                Err(_) => {}
            }
        }
        guard.clear_ready();
        Ok(())
    }
}

/// A level is part of an event's place in the source, so each has a place.
fn tell(message: &Message) {
    let text = &message.text;
    match message.level {
        Level::ERROR => tracing::error!("{text}"),
        Level::WARN => tracing::warn!("{text}"),
        Level::INFO => tracing::info!("{text}"),
        Level::DEBUG => tracing::debug!("{text}"),
        Level::TRACE => tracing::trace!("{text}"),
    }
}
