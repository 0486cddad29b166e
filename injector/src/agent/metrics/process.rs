//! What this process uses, under the names that Prometheus' own client libraries give it.

use std::fmt;

use procfs::process::Process;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::collector::{Writer, real};

/// Reads `/proc/self` at each scrape.
#[derive(Debug)]
pub(super) struct Itself;

impl Collector for Itself {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = Writer(encoder);
        let Ok(process) = Process::myself() else { return Ok(()) };
        if let Ok(stat) = process.stat() {
            let seconds = real(stat.utime + stat.stime) / real(procfs::ticks_per_second());
            writer.counter("process_cpu_seconds", "CPU time of the agent.", &seconds)?;
            let resident = stat.rss * procfs::page_size();
            writer.gauge("process_resident_memory_bytes", "Resident memory of the agent.", real(resident))?;
            writer.gauge("process_virtual_memory_bytes", "Virtual memory of the agent.", real(stat.vsize))?;
        }
        let descriptors = process.fd_count().ok().and_then(|count| u64::try_from(count).ok());
        descriptors.map_or(Ok(()), |count| {
            writer.gauge("process_open_fds", "File descriptors that the agent has open.", real(count))
        })
    }
}
