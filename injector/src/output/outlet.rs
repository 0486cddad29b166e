//! Events for stdout, from who has signals to listen to while nobody reads.

use std::{future::pending, io, thread};

use tokio::sync::{mpsc, oneshot};

use super::{Event, EventWriter, stdout};
use crate::error::Error;

/// Lines that wait for the reader, at most.
const MAX_WAITING: usize = 64;

/// A queue of lines, and a thread that writes them.
#[derive(Debug)]
pub struct Outlet {
    writer: EventWriter,
    lines: mpsc::Sender<String>,
    ended: oneshot::Receiver<Result<(), Error>>,
}

impl Outlet {
    /// Starts the thread.
    pub fn open(writer: EventWriter) -> io::Result<Self> {
        let (lines, waiting) = mpsc::channel(MAX_WAITING);
        let (end, ended) = oneshot::channel();
        // Nobody waits for it: one that is stuck in a full pipe ends with the process.
        thread::Builder::new().name("stdout".to_owned()).spawn(move || end.send(write(waiting)))?;
        Ok(Self { writer, lines, ended })
    }

    /// Takes an event, as soon as there is room. What is taken after writing has failed is lost: [`Self::failed`] and
    /// [`Self::close`] tell.
    ///
    /// Errors where it can't be put into words.
    pub async fn write(&self, event: &Event<'_>) -> io::Result<()> {
        let line = self.writer.text(event)?;
        drop(self.lines.send(line).await);
        Ok(())
    }

    /// Waits until writing fails, which is told once.
    pub async fn failed(&mut self) -> Error {
        let Ok(Err(error)) = (&mut self.ended).await else { return pending().await };
        (_, self.ended) = oneshot::channel();
        error
    }

    /// Waits until all is written.
    ///
    /// Errors where it can't be.
    pub async fn close(self) -> Result<(), Error> {
        drop(self.lines);
        self.ended.await.unwrap_or(Ok(()))
    }
}

fn write(mut lines: mpsc::Receiver<String>) -> Result<(), Error> {
    while let Some(line) = lines.blocking_recv() {
        stdout::line(&line)?;
    }
    Ok(())
}
