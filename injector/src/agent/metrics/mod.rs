//! The metrics.
//!
//! [`Figures`] holds the numbers, each part of the agent updates its own, and a scrape reads them. `collector.rs` names
//! them. The library writes OpenMetrics; [`exposition`] converts that to Prometheus' older text format for clients that
//! ask for it.
//!
//! No label holds an address, a port, a process id, a cookie or a pod's name. Those that name workloads, hops and
//! interfaces have a bound each.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus_client::{
    metrics::{
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::Registry,
};

pub mod at_risk;
mod collector;
pub mod exposition;
pub mod figures;
mod process;

pub use at_risk::AtRisk;
pub use exposition::TextFormat;
pub use figures::{ConntrackUse, EnaAllowance, Figures, HopLimit, Memory, Reload, Scan};

/// What every name begins with.
pub const PREFIX: &str = "injector";

/// All metrics of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// The standard process metrics.
    process: Registry,
    scan_duration: Histogram,
    figures: Arc<Mutex<Figures>>,
}

impl Metrics {
    /// Only the build is known.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Version and commit of this build", build);
        // 0.5 ms to 16 s.
        let scan_duration = Histogram::new(exponential_buckets(0.0005, 2.0, 16));
        registry.register("scan_duration_seconds", "Time that a scan of all flows took", scan_duration.clone());
        let figures = Arc::default();
        registry.register_collector(Box::new(collector::FigureCollector(Arc::clone(&figures))));
        let mut process = Registry::default();
        process.register_collector(Box::new(process::Itself));
        Self { registry, process, scan_duration, figures }
    }

    /// The numbers, for an update. Hold the lock briefly: scrapes wait for it.
    pub fn figures(&self) -> MutexGuard<'_, Figures> {
        lock(&self.figures)
    }

    /// Takes the result of a scan over all flows, which took `duration`.
    pub fn scanned(&self, scan: Scan, duration: Duration) {
        self.scan_duration.observe(duration.as_secs_f64());
        self.figures().scanned(scan);
    }

    /// Takes a scan of one attachment's `flows`, which took `duration`.
    pub fn watched(&self, flows: u64, duration: Duration) {
        self.scan_duration.observe(duration.as_secs_f64());
        self.figures().watched(flows);
    }

    /// All metrics as text.
    pub fn encode(&self, format: TextFormat) -> String {
        exposition::encode([&self.registry, &self.process], format)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Numbers have no state that a panic could leave half-way.
fn lock(figures: &Mutex<Figures>) -> MutexGuard<'_, Figures> {
    figures.lock().unwrap_or_else(PoisonError::into_inner)
}
