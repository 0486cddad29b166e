//! Clients: what a connection may still take, and what ends it.

use std::{
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio::sync::oneshot;

use super::{list::List, peers::Share};

/// The other end of one connection.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// What its address may take; `None` for a socket in the file system, whose mode decides which clients may connect.
    share: Option<Arc<Share>>,
    /// The list it is being sent.
    reads: Arc<Mutex<Option<oneshot::Sender<Arc<List>>>>>,
}

/// What ends a connection before it is done.
#[derive(Debug)]
pub(super) struct End {
    gives_way: Option<oneshot::Receiver<()>>,
    reads: oneshot::Receiver<Arc<List>>,
}

impl Client {
    /// A client over TCP, which has to give way when `gives_way` is closed.
    pub(super) fn remote(share: Share, gives_way: oneshot::Receiver<()>) -> (Self, End) {
        Self::new(Some(share), Some(gives_way))
    }

    /// A client of a socket in the file system.
    pub(super) fn local() -> (Self, End) {
        Self::new(None, None)
    }

    fn new(share: Option<Share>, gives_way: Option<oneshot::Receiver<()>>) -> (Self, End) {
        let (sender, reads) = oneshot::channel();
        let client = Self { share: share.map(Arc::new), reads: Arc::new(Mutex::new(Some(sender))) };
        (client, End { gives_way, reads })
    }

    /// Whether a foreign web page can make a browser connect here.
    pub(super) fn may_come_by_names(&self) -> bool {
        self.share.is_some()
    }

    /// Whether it may have an answer of so many bytes now.
    pub(super) fn may_have(&self, bytes: u64, now: Instant) -> bool {
        self.share.as_ref().is_none_or(|share| share.spends(bytes, now))
    }

    /// It is being sent this list, for as long as that is kept.
    pub(super) fn reads(&self, list: &Arc<List>) {
        let sender = self.reads.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(sender.map(|sender| sender.send(Arc::clone(list))));
    }
}

impl End {
    /// Waits for the end.
    pub(super) async fn comes(self) {
        let Self { gives_way, reads } = self;
        let outdated = async {
            // Nothing but lists is large.
            let Ok(list) = reads.await else { return pending().await };
            let outdated = list.outdated();
            drop(list);
            outdated.await;
        };
        let gave_way = async {
            match gives_way {
                Some(gave_way) => drop(gave_way.await),
                None => pending().await,
            }
        };
        tokio::select! {
            () = outdated => {}
            () = gave_way => {}
        }
    }
}
