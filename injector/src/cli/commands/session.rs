//! A watch in the foreground: from its first event to the summary.

use std::{future::pending, time::Duration};

use anyhow::anyhow;
use tokio::time::{sleep, timeout};

use super::events::StdoutEvents;
use crate::{
    agent::{Plan, WatchThread},
    error,
    host::signals::Signals,
    output::{self, Written},
};

/// How long the shutdown waits for processes that are attaching, detaching or listing.
const DETACH_WITHIN: Duration = Duration::from_secs(20);
/// How long it then waits for the reader of stdout.
const READ_WITHIN: Duration = Duration::from_secs(2);

/// Attaches, and watches until a signal, `--for` or the loss of the attachment
/// ends it.
pub(super) async fn watch(
    plan: Plan,
    name: &str,
    run_for: Option<Duration>,
    mut signals: Signals,
    (events, mut written): (StdoutEvents, Written),
) -> anyhow::Result<()> {
    let (mut thread, started) = WatchThread::watch(plan, Box::new(events))?;
    let until_asked = async {
        match (started.await, run_for) {
            (Ok(()), Some(time)) => sleep(time).await,
            // A signal ends it, or it ends by itself.
            _ => pending().await,
        }
    };
    let watched = tokio::select! {
        () = signals.end() => Ok(None),
        () = until_asked => Ok(None),
        ended = thread.feed() => Ok(Some(ended)),
        error = written.failed() => Err(error.into()),
    };
    if watched.as_ref().is_err_and(error::is_closed_pipe) {
        output::message(format_args!("injector: stdout was closed, shutting down"));
    }
    let ended = match watched {
        Ok(Some(ended)) => ended,
        Ok(None) => stop(thread, name).await,
        Err(error) => stop(thread, name).await.and(Err(error)),
    };
    let all = timeout(READ_WITHIN, written.all())
        .await
        .map_or_else(|_| Err(anyhow!("stdout is full and not being read: the last events are lost")), |all| Ok(all?));
    ended.and(all)
}

async fn stop(thread: WatchThread, name: &str) -> anyhow::Result<()> {
    thread.stop(DETACH_WITHIN).await.unwrap_or_else(|| {
        let why = "another injector process holds the lock";
        Err(anyhow!("{name} stays attached, as {why}: `injector detach --name {name}` detaches it"))
    })
}
