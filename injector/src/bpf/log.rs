//! The BPF programs' own messages, for `-vv`.

use std::fmt::{self, Debug, Formatter};

use anyhow::Context as _;
use aya::Ebpf;
use aya_log::EbpfLogger;
use log::Log;
use tokio::io::{Interest, unix::AsyncFd};

/// A stream of messages, passed on to our own log. aya-log writes them through the `log` crate, whose records
/// tracing-subscriber takes.
pub(crate) struct BpfLog {
    messages: AsyncFd<EbpfLogger<&'static dyn Log>>,
}

impl Debug for BpfLog {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("BpfLog")
    }
}

impl BpfLog {
    /// Takes the ring buffer out of `ebpf`. `None` where the object holds no message at all: no log statement survived
    /// its optimisation, and so neither did the map.
    pub(super) fn open(ebpf: &mut Ebpf) -> anyhow::Result<Option<Self>> {
        let logger = match EbpfLogger::init(ebpf) {
            Err(aya_log::Error::MapNotFound) => return Ok(None),
            logger => logger.context("opening the BPF programs' log")?,
        };
        // SAFETY: the logger owns its ring buffer, and so the same descriptor for
        // as long as it lives.
        #[expect(unsafe_code, reason = "a promise that tokio asks for; it deprecates what doesn't")]
        let messages = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) }?;
        Ok(Some(Self { messages }))
    }

    /// Waits for messages and passes them on. Drains the buffer before the
    /// readiness is cleared, or what came in between would wait for the next.
    pub(crate) async fn pass_on(&mut self) -> std::io::Result<()> {
        let mut guard = self.messages.readable_mut().await?;
        guard.get_inner_mut().flush();
        guard.clear_ready();
        Ok(())
    }
}
