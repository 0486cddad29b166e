//! The BPF programs' own messages, for `-vv`.

use std::fmt::{self, Debug, Formatter};

use anyhow::Context as _;
use aya::Ebpf;
use aya_log::{EbpfLogger, Error};
use tokio::io::{Interest, unix::AsyncFd};

/// A stream of messages, passed on to our own log.
pub struct BpfLog(AsyncFd<EbpfLogger<&'static dyn log::Log>>);

impl Debug for BpfLog {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("BpfLog")
    }
}

impl BpfLog {
    /// Takes the ring buffer out of `ebpf`. `None` where the object holds no
    /// message at all.
    pub(super) fn open(ebpf: &mut Ebpf) -> anyhow::Result<Option<Self>> {
        let logger = match EbpfLogger::init(ebpf) {
            Ok(logger) => logger,
            Err(Error::MapNotFound) => return Ok(None),
            Err(error) => return Err(error).context("opening the BPF programs' log"),
        };
        // SAFETY: the logger owns the ring buffer, and so the same descriptor
        // for as long as it lives.
        #[expect(unsafe_code, reason = "a promise that tokio asks for")]
        let logger = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) }?;
        Ok(Some(Self(logger)))
    }

    /// Waits for messages and passes them on. Drains the buffer before the
    /// readiness is cleared, or what came in between would wait for the next.
    pub async fn pass_on(&mut self) -> std::io::Result<()> {
        let mut guard = self.0.readable_mut().await?;
        guard.get_inner_mut().flush();
        guard.clear_ready();
        Ok(())
    }
}
