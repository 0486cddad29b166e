//! Asking the cloud, again and again, in the background.

use std::time::Duration;

use tokio::{task::JoinHandle, time::sleep};

use crate::aws::{self, answers::Answers};

/// Asks at once, and then one interval after each answer.
#[derive(Debug)]
pub struct Asker {
    interval: Duration,
    pause: Duration,
    asking: Option<JoinHandle<Answers>>,
}

impl Asker {
    /// Has not asked yet.
    pub const fn new(interval: Duration) -> Self {
        Self { interval, pause: Duration::ZERO, asking: None }
    }

    /// Waits for the next answer. May be dropped and called again while it
    /// waits.
    pub async fn answer(&mut self) -> Answers {
        let pause = self.pause;
        let asking = self.asking.get_or_insert_with(|| {
            tokio::spawn(async move {
                sleep(pause).await;
                aws::ask().await
            })
        });
        let answered = asking.await;
        (self.pause, self.asking) = (self.interval, None);
        match answered {
            Ok(answers) => answers,
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        if let Some(asking) = &self.asking {
            asking.abort();
        }
    }
}
