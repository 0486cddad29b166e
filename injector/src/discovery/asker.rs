//! Asking the cloud, again and again, in the background.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use tokio::{task::JoinHandle, time::sleep};

use crate::discovery::aws::{self, answers::Answers};

/// Asks at once, and then about one interval after each answer: agents that were
/// started together don't go on asking together.
#[derive(Debug)]
pub(crate) struct Asker {
    interval: Duration,
    pause: Duration,
    asking: Option<JoinHandle<Answers>>,
}

impl Asker {
    /// Has not asked yet.
    pub(crate) const fn new(interval: Duration) -> Self {
        Self { interval, pause: Duration::ZERO, asking: None }
    }

    /// Waits for the next answer. May be dropped and called again while it
    /// waits.
    pub(crate) async fn answer(&mut self) -> Answers {
        let pause = self.pause;
        let asking = self.asking.get_or_insert_with(|| {
            tokio::spawn(async move {
                sleep(pause).await;
                aws::ask().await
            })
        });
        let answered = asking.await;
        (self.pause, self.asking) = (spread(self.interval, RandomState::new().hash_one(0)), None);
        match answered {
            Ok(answers) => answers,
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    }
}

/// From nine tenths of the interval to eleven, as `random` has it.
fn spread(interval: Duration, random: u64) -> Duration {
    let thousandths = u32::try_from(random % 1000).unwrap_or_default();
    interval / 10 * 9 + interval / 5000 * thousandths
}

impl Drop for Asker {
    fn drop(&mut self) {
        if let Some(asking) = &self.asking {
            asking.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_spread() {
        let interval = Duration::from_secs(300);
        for (random, seconds) in [(0, 270), (500, 300), (1000, 270), (250, 285)] {
            assert_eq!(spread(interval, random), Duration::from_secs(seconds), "{random}");
        }
        assert!(spread(interval, 999) < interval * 11 / 10);
    }
}
