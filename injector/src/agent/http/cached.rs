//! One answer for all clients that ask the same.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// Answers are this old at most,
const FRESH: Duration = Duration::from_secs(1);
/// or so many times as old as finding one takes: whatever is asked for, and however often, it keeps a processor busy for
/// a tenth of the time.
const REST: u32 = 10;

/// The last answer to a question. A client that asks while one is being found waits for it, so there is never more than
/// one under way.
#[derive(Debug)]
pub(super) struct Cached<A>(Mutex<Option<(Instant, A)>>);

impl<A: Clone> Cached<A> {
    /// No answer yet.
    pub(super) fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// The answer, found by `find` unless it is known. `None` where there is
    /// none.
    pub(super) async fn get(&self, find: impl AsyncFnOnce() -> Option<A>) -> Option<A> {
        let mut last = self.0.lock().await;
        if let Some((until, answer)) = &*last
            && Instant::now() < *until
        {
            return Some(answer.clone());
        }
        let start = Instant::now();
        let answer = find().await?;
        let until = start + FRESH.max(start.elapsed() * REST);
        *last = Some((until, answer.clone()));
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn many_ask_and_one_finds() {
        let (cached, found) = (Cached::new(), AtomicU32::new(0));
        let ask = || {
            cached.get(async || {
                tokio::task::yield_now().await;
                Some(found.fetch_add(1, Ordering::Relaxed))
            })
        };
        let answers = tokio::join!(ask(), ask(), ask());
        assert_eq!(answers, (Some(0), Some(0), Some(0)));
        assert_eq!(Cached::<u32>::new().get(async || None).await, None);
    }

    #[tokio::test]
    async fn what_is_dear_is_kept_for_longer() {
        let cached = Cached::new();
        let slow = async || {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Some(1)
        };
        assert_eq!(cached.get(slow).await, Some(1));
        tokio::time::sleep(FRESH).await;
        assert_eq!(cached.get(async || Some(2)).await, Some(1));
    }
}
