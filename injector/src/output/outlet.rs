//! Events for stdout, from a process that goes on when its reader does not keep up.

use std::{future::pending, io, thread};

use tokio::sync::{mpsc, oneshot, watch};

use super::{Event, EventWriter, stdout};
use crate::error::Error;

/// More lines than these wait for the reader only where they came at once.
const MAX_WAITING: u64 = 64;

/// A queue of lines that a thread writes.
#[derive(Debug)]
pub(crate) struct Outlet {
    writer: EventWriter,
    lines: mpsc::UnboundedSender<String>,
    sent: u64,
    written: watch::Receiver<u64>,
}

/// The result of writing.
#[derive(Debug)]
pub(crate) struct Written(oneshot::Receiver<Result<(), Error>>);

impl Outlet {
    /// Starts the thread.
    pub(crate) fn open(writer: EventWriter) -> io::Result<(Self, Written)> {
        let (lines, waiting) = mpsc::unbounded_channel();
        let (count, written) = watch::channel(0);
        let (end, ended) = oneshot::channel();
        // Never joined: a thread that is stuck in a full pipe ends with the process.
        thread::Builder::new().name("stdout".to_owned()).spawn(move || end.send(write(waiting, &count)))?;
        Ok((Self { writer, lines, sent: 0, written }, Written(ended)))
    }

    /// Takes an event. What is taken after writing has failed is lost: [`Written`] says so.
    ///
    /// Errors where it can't be serialised.
    pub(crate) fn write(&mut self, event: &Event<'_>) -> io::Result<()> {
        let line = self.writer.text(event)?;
        self.sent += 1;
        drop(self.lines.send(line));
        Ok(())
    }

    /// Whether the reader lags behind.
    pub(crate) fn is_full(&self) -> bool {
        self.written.has_changed().is_ok() && self.sent - *self.written.borrow() > MAX_WAITING
    }

    /// Waits until it has caught up, or has gone.
    pub(crate) async fn has_room(&mut self) {
        let sent = self.sent;
        // Nothing is written any more: no reason to wait.
        drop(self.written.wait_for(|written| sent - written <= MAX_WAITING).await);
    }
}

impl Written {
    /// Waits until writing fails, which is reported once.
    pub(crate) async fn failed(&mut self) -> Error {
        let ended = (&mut self.0).await;
        // What is known is not waited for again.
        (_, self.0) = oneshot::channel();
        match ended {
            Ok(Err(error)) => error,
            _ => pending().await,
        }
    }

    /// Waits until all is written, once the outlet is dropped.
    ///
    /// Errors where it can't be.
    pub(crate) async fn all(self) -> Result<(), Error> {
        self.0.await.unwrap_or(Ok(()))
    }
}

fn write(mut lines: mpsc::UnboundedReceiver<String>, written: &watch::Sender<u64>) -> Result<(), Error> {
    while let Some(line) = lines.blocking_recv() {
        stdout::line(&line)?;
        written.send_modify(|written| *written += 1);
    }
    Ok(())
}
