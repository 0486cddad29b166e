//! A list of flows, made once for all clients, cut for those that ask for less.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

use super::{body::Parts, cached::Cached, route::Refusal};
use crate::output::Served;

/// Lists of a kind that clients may still be reading, the newest among them. Each newer one takes a second or more to come.
const MAX_KEPT: usize = 4;

/// Lists of one kind. Their memory is bounded: a client that still reads a list after this many newer ones is cut off.
#[derive(Debug)]
pub(super) struct Lists {
    last: Cached<Result<Arc<List>, Refusal>>,
    kept: Mutex<VecDeque<watch::Sender<()>>>,
}

/// A list, for as long as it may be read.
#[derive(Debug)]
pub(super) struct List {
    served: Served,
    kept: watch::Receiver<()>,
}

impl Lists {
    pub(super) fn new() -> Self {
        Self { last: Cached::new(), kept: Mutex::default() }
    }

    /// The list, made by `make` unless there is a fresh one. `None` where it can't be made in time.
    pub(super) async fn get(
        &self,
        make: impl AsyncFnOnce() -> Option<Result<Served, Refusal>>,
    ) -> Option<Result<Arc<List>, Refusal>> {
        self.last.get(async || Some(make().await?.map(|served| Arc::new(self.keep(served))))).await
    }

    fn keep(&self, served: Served) -> List {
        let (sender, kept) = watch::channel(());
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_back(sender);
        let surplus = all.len().saturating_sub(MAX_KEPT);
        all.drain(..surplus);
        List { served, kept }
    }
}

impl List {
    /// The first so many flows.
    pub(super) fn first(&self, limit: usize) -> Parts {
        Parts::new(self.served.first(limit))
    }

    /// Waits until it may be read no longer.
    pub(super) fn outdated(&self) -> impl Future<Output = ()> + use<> {
        let mut kept = self.kept.clone();
        async move { while kept.changed().await.is_ok() {} }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::output::{Totals, served_flows};

    #[tokio::test]
    async fn a_list_may_be_read_until_others_have_followed() {
        let lists = Lists::new();
        let made = || lists.keep(served_flows(std::iter::empty(), Totals { flows: 0, findings: 0 }).expect("JSON"));
        let first = made();
        let outdated = first.outdated();
        tokio::pin!(outdated);
        for _ in 1..MAX_KEPT {
            drop(made());
            assert!(outdated.as_mut().now_or_never().is_none());
        }
        drop(made());
        assert!(outdated.as_mut().now_or_never().is_some());
    }
}
