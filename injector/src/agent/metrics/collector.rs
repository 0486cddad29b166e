//! Names, types and meanings of the metrics.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use injector_common::{
    scan::{HISTOGRAM_BOUNDS_S, ScanTotals},
    stats::{ACTIVE, PASSIVE},
    status::STATUS_NAMES,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeCounterValue, EncodeLabelSet, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::{
    figures::{Figures, Reload},
    lock,
};

/// Exports the figures under their names.
#[derive(Debug)]
pub(super) struct FigureCollector(pub(super) Arc<Mutex<Figures>>);

impl Collector for FigureCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let figures = lock(&self.0);
        let mut writer = Writer(encoder);
        sockets(&mut writer, &figures)?;
        flows(&mut writer, &figures)?;
        agent(&mut writer, &figures)?;
        host(&mut writer, &figures)
    }
}

fn sockets(writer: &mut Writer<'_>, figures: &Figures) -> fmt::Result {
    let counters = &figures.sockets;
    let outcomes = [("active", ACTIVE), ("passive", PASSIVE)].into_iter().flat_map(|(direction, index)| {
        counters.outcomes(index).map(move |(outcome, count)| ([("direction", direction), ("outcome", outcome)], count))
    });
    writer.counters("sockets", "Sockets at establishment, by outcome.", outcomes)?;
    writer.counter(
        "sockets_unreadable",
        "Sockets injected without knowing the application's own settings.",
        &counters.unreadable(),
    )?;
    let failures = counters.failures();
    writer.counters(
        "option_failures",
        "Socket options that the kernel refused, by errno.",
        failures.iter().map(|failure| {
            ([("option", failure.option.to_owned()), ("errno", failure.errno.to_string())], failure.count)
        }),
    )?;
    let overruled = counters.overruled().map(|(option, count)| ([("option", option)], count));
    writer.counters("calls_overruled", "Later keepalive calls of applications that injector overruled.", overruled)
}

fn flows(writer: &mut Writer<'_>, figures: &Figures) -> fmt::Result {
    if let Some(totals) = &figures.scan {
        scanned(writer, totals)?;
        writer.gauges(
            "flows_at_risk",
            "Flows at risk, overdue or stalled, by namespace and workload of their pod (a guess from its name).",
            figures.at_risk.iter().map(|((namespace, workload), count)| {
                ([("pod_namespace", namespace.as_str()), ("workload", workload.as_str())], real(*count))
            }),
        )?;
    }
    writer.gauges(
        "uncovered_connections",
        "Connections of attached cgroups that are not covered, by reason; usually opened before the attachment.",
        figures.uncovered.iter().flatten().map(|(reason, count)| ([("reason", *reason)], real(*count))),
    )?;
    writer.counter("flows_expired", "Flows seen to pass their idle timeout.", &figures.flows_expired)?;
    writer.counter("flows_lost", "Flows that ended while at risk, overdue or stalled.", &figures.flows_lost)?;
    writer.gauges(
        "flow_limit_seconds",
        "Idle timeout of a hop, by hop and source.",
        figures.limits.iter().map(|limit| {
            ([("hop", limit.hop.as_str()), ("source", limit.source.as_str())], limit.timeout.as_secs_f64())
        }),
    )
}

fn scanned(writer: &mut Writer<'_>, totals: &ScanTotals) -> fmt::Result {
    let by_status = STATUS_NAMES.into_iter().zip(totals.by_status).chain([("closing", totals.closing)]);
    writer.gauges("flows", "Flows by status.", by_status.map(|(status, count)| ([("status", status)], real(count))))?;
    writer.gauge("flows_adopted", "Adopted flows: opened before injector was attached.", real(totals.adopted))?;
    let bounds = HISTOGRAM_BOUNDS_S.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
    let cumulative = totals.idle_histogram.iter().scan(0, |sum, count| {
        *sum += count;
        Some(*sum)
    });
    writer.idle_times(bounds.zip(cumulative))
}

fn agent(writer: &mut Writer<'_>, figures: &Figures) -> fmt::Result {
    writer.gauge("attached_cgroups", "Cgroups that the programs are attached to.", real(figures.attached_cgroups))?;
    writer.counter("scanned_flows", "Flows visited by scans.", &figures.scanned_flows)?;
    let scanned_at = figures.scanned_at.map(unix_seconds);
    writer.maybe(
        "last_scan_timestamp_seconds",
        "Last scan of the attachment that was scanned longest ago.",
        scanned_at,
    )?;
    writer.counter("scan_failures", "Scans of an attachment that failed.", &figures.scan_failures)?;
    let reloads = [("success", figures.reloads_taken), ("failure", figures.reloads_refused)];
    writer.counters(
        "config_reloads",
        "Attempts to apply a configuration.",
        reloads.map(|(result, count)| ([("result", result)], count)),
    )?;
    let successful = figures.last_reload.map(|reload| if reload == Reload::Refused { 0.0 } else { 1.0 });
    writer.maybe("config_last_reload_successful", "Whether the last configuration read was applied.", successful)?;
    writer.maybe(
        "config_last_reload_success_timestamp_seconds",
        "When the applied configuration was read.",
        figures.reloaded_at.map(unix_seconds),
    )?;
    writer.counters(
        "discovery_failures",
        "Discovery calls that failed, by call.",
        figures.discovery_failures.iter().map(|(call, count)| ([("call", *call)], *count)),
    )?;
    writer.counter(
        "log_lines_dropped",
        "Log lines suppressed because there were too many of the same kind.",
        &figures.log_lines_dropped,
    )
}

fn host(writer: &mut Writer<'_>, figures: &Figures) -> fmt::Result {
    let memory = figures.memory;
    writer.maybe("map_memory_bytes", "Memory of BPF maps.", memory.map(|memory| real(memory.maps_bytes)))?;
    writer.maybe(
        "storage_memory_bytes",
        "Memory of flow records in socket storage.",
        memory.map(|memory| real(memory.storage_bytes)),
    )?;
    let conntrack = figures.conntrack;
    writer.maybe(
        "conntrack_entries",
        "Connections in the host's connection tracking table.",
        conntrack.map(|conntrack| real(conntrack.entries)),
    )?;
    writer.maybe(
        "conntrack_entries_limit",
        "Capacity of the host's connection tracking table.",
        conntrack.map(|conntrack| real(conntrack.limit)),
    )?;
    let interfaces = || figures.interfaces.iter();
    writer.gauges(
        "ena_conntrack_allowance_available",
        "Connections that the EC2 network interface can still track.",
        interfaces().filter_map(|ena| Some(([("interface", ena.interface.as_str())], real(ena.available?)))),
    )?;
    writer.counters(
        "ena_conntrack_allowance_exceeded",
        "Packets dropped as the EC2 network interface could track no more connections.",
        interfaces().map(|ena| ([("interface", ena.interface.as_str())], ena.exceeded)),
    )
}

/// Writes families: each with its description, and only if it has a sample.
pub(super) struct Writer<'a>(pub(super) DescriptorEncoder<'a>);

impl Writer<'_> {
    pub(super) fn counter(&mut self, name: &str, help: &str, value: &impl EncodeCounterValue) -> fmt::Result {
        self.family(name, help, MetricType::Counter)?.encode_counter::<NoLabelSet, _, f64>(value, None)
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.family(name, help, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn maybe(&mut self, name: &str, help: &str, value: Option<f64>) -> fmt::Result {
        value.map_or(Ok(()), |value| self.gauge(name, help, value))
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        self.samples(name, help, MetricType::Counter, samples, |sample, value| {
            sample.encode_counter::<NoLabelSet, _, f64>(&value, None)
        })
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result {
        self.samples(name, help, MetricType::Gauge, samples, |sample, value| sample.encode_gauge(&value))
    }

    /// A histogram of current values, not a cumulative one: flows leave it again, and their times have no sum.
    /// OpenMetrics calls that a gauge histogram, which neither the library nor Prometheus' own format has; so each bucket
    /// is a gauge, whose label must not be a histogram's `le`.
    fn idle_times(&mut self, buckets: impl Iterator<Item = (String, u64)>) -> fmt::Result {
        self.gauges(
            "flows_by_idle_time",
            "Flows whose idle time on the wire was at most up_to seconds at the last scan.",
            buckets.map(|(bound, count)| ([("up_to", bound)], real(count))),
        )
    }

    fn samples<L: EncodeLabelSet, V>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl IntoIterator<Item = (L, V)>,
        encode: impl Fn(&mut MetricEncoder<'_>, V) -> fmt::Result,
    ) -> fmt::Result {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let mut family = self.family(name, help, kind)?;
        samples.try_for_each(|(labels, value)| encode(&mut family.encode_family(&labels)?, value))
    }

    fn family<'s>(&'s mut self, name: &'s str, help: &str, kind: MetricType) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }
}

/// Prometheus knows no other numbers.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
pub(super) const fn real(count: u64) -> f64 {
    count as f64
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
