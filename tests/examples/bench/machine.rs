//! What it was measured on.

use std::{fmt, fs};

use serde::{Deserialize, Serialize};

/// Kernel and hardware, and how busy others keep it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) kernel: String,
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) memory_mib: u64,
    /// Load average of the minute before, which includes what was measured before.
    pub(crate) load: f64,
}

impl Machine {
    /// This one, now.
    pub(crate) fn here() -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let processor = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let memory_kib = read("/proc/meminfo").split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
        Self {
            kernel: format!("{} {}", read("/proc/sys/kernel/osrelease").trim(), std::env::consts::ARCH),
            processor: processor.map_or("unknown", |(_, name)| name).to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory_kib.unwrap_or(0) / 1024,
            load: read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, processor, processors, memory_mib, load } = self;
        write!(formatter, "Linux {kernel}, {processors} x {processor}, {memory_mib} MiB, load average {load} before")
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
