//! One that asks, and all others who want to know the same.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// Answers are this old at most.
const FRESH: Duration = Duration::from_secs(1);

/// The last answer to a question. Who asks while one is being found waits for
/// it, so that there is never more than one under way.
#[derive(Debug)]
pub(super) struct Cached<Q, A>(Mutex<Option<(Q, Instant, A)>>);

impl<Q: PartialEq, A: Clone> Cached<Q, A> {
    /// No answer yet.
    pub(super) fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// The answer, found by `find` unless it is known. `None` where there is
    /// none.
    pub(super) async fn get(&self, question: Q, find: impl AsyncFnOnce() -> Option<A>) -> Option<A> {
        let mut last = self.0.lock().await;
        if let Some((known, at, answer)) = &*last
            && *known == question
            && at.elapsed() < FRESH
        {
            return Some(answer.clone());
        }
        let at = Instant::now();
        let answer = find().await?;
        *last = Some((question, at, answer.clone()));
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
        let ask = |question| {
            cached.get(question, async || {
                tokio::task::yield_now().await;
                Some(found.fetch_add(1, Ordering::Relaxed))
            })
        };
        let answers = tokio::join!(ask(1), ask(1), ask(1));
        assert_eq!(answers, (Some(0), Some(0), Some(0)));
        assert_eq!(ask(2).await, Some(1));
        assert_eq!(cached.get(3, async || None).await, None);
    }
}
