//! Whether the agent is healthy, for `/healthz`, `/readyz` and systemd.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The watch loop reports at least this often.
pub(super) const ROUND: Duration = Duration::from_secs(10);
/// It never takes longer than this, unless it is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// Signs of life of the watch loop.
#[derive(Debug)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug)]
struct State {
    beat: Instant,
    /// What keeps it from being ready, a sentence each; `None` before it has
    /// looked for the first time.
    lacks: Option<Vec<String>>,
}

impl Health {
    /// Alive, and not ready yet.
    pub(super) fn new() -> Self {
        Self(Mutex::new(State { beat: Instant::now(), lacks: None }))
    }

    /// The watch loop is alive.
    pub(super) fn beat(&self) {
        self.state().beat = Instant::now();
    }

    /// It has checked all cgroups; `lacks` are its failures.
    pub(super) fn looked(&self, lacks: Vec<String>) {
        self.state().lacks = Some(lacks);
    }

    /// For how long the watch loop has not reported, where that is too long.
    pub(super) fn stuck(&self) -> Option<Duration> {
        Some(self.state().beat.elapsed()).filter(|pause| *pause > PATIENCE)
    }

    /// What keeps it from being ready; empty where nothing does.
    pub(super) fn lacks(&self) -> Vec<String> {
        self.state().lacks.clone().unwrap_or_else(|| vec!["starting".to_owned()])
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}
