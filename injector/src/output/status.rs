//! The state of attachments, for `status`.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter, Write as _},
    time::{Duration, SystemTime},
};

use injector_common::{
    conflict::{ENFORCE, TIGHTEN},
    scan::{HISTOGRAM_BOUNDS_S, ScanTotals},
    stats::{ACTIVE, PASSIVE},
    status::STATUS_NAMES,
};
use serde::Serialize;

use crate::{
    attachment::coverage::Coverage,
    bpf::{
        Attached, AttachmentState,
        pins::PinDir,
        stats::{Counters, Failure},
    },
    printable::printable,
    units::{exact, moment},
};

const ATTACHED: &str = "attached";
const INCOMPLETE: &str = "incomplete";
const DAMAGED: &str = "damaged";
const CGROUP_REMOVED: &str = "cgroup_removed";
const REFUSED: &str = "refused";

/// Widest bar of the histogram, in characters.
const BAR: u64 = 40;

/// The parameters of an attachment, with units in the names.
#[derive(Debug, Serialize)]
pub(crate) struct Parameters {
    limit_ms: u32,
    warn_ms: u32,
    keepalive: InjectedKeepalive,
    /// `respect`, `tighten` or `enforce`.
    on_conflict: &'static str,
    /// This host refused the guard that the default needs, so it is `respect`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    guard_refused: bool,
}

#[derive(Debug, Serialize)]
struct InjectedKeepalive {
    idle_s: u32,
    interval_s: u32,
    probes: u32,
    user_timeout_ms: u32,
}

/// Flows by status.
#[derive(Debug, Serialize)]
pub(crate) struct FlowCounts {
    total: u64,
    #[serde(flatten)]
    by_status: BTreeMap<&'static str, u64>,
}

/// One attachment, as far as it can be read.
#[derive(Debug, Serialize)]
pub(crate) struct AttachmentStatus {
    name: String,
    /// `attached`; `incomplete` where a process was killed half-way, and `cgroup_removed`: nothing is attached then.
    /// `damaged`: attached, but unreadable, as some of its pins are gone. `refused`: something there is not
    /// injector's.
    state: &'static str,
    /// Why it is refused, what is damaged, or why it was not scanned.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten)]
    details: Option<Details>,
}

#[derive(Debug, Serialize)]
struct Details {
    cgroup: String,
    cgroup_id: u64,
    since: String,
    #[serde(flatten)]
    parameters: Parameters,
    sockets: Sockets,
    flows: FlowCounts,
    /// Absent unless processes were searched.
    #[serde(skip_serializing_if = "Option::is_none")]
    coverage: Option<Coverage>,
    idle_histogram: Vec<Bucket>,
}

#[derive(Debug, Serialize)]
struct Sockets {
    active: BTreeMap<&'static str, u64>,
    passive: BTreeMap<&'static str, u64>,
    unreadable: u64,
    overruled: BTreeMap<&'static str, u64>,
    failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
struct Bucket {
    /// Upper bound; `null` for the last one.
    le_s: Option<u64>,
    count: u64,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    attachments: &'a [AttachmentStatus],
}

/// The document of `status -o json`.
pub(crate) fn status_document(attachments: &[AttachmentStatus]) -> impl Serialize + '_ {
    Document { schema: "injector.status/v1", attachments }
}

/// The text of `status`.
pub(crate) fn status_report(attachments: &[AttachmentStatus]) -> String {
    if attachments.is_empty() {
        return "nothing is attached".to_owned();
    }
    attachments.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

impl AttachmentStatus {
    /// What a killed process left.
    pub(crate) fn incomplete(pins: &PinDir) -> Self {
        Self { name: pins.name().to_owned(), state: INCOMPLETE, reason: None, details: None }
    }

    /// An attachment that lacks some of its pins.
    pub(crate) fn damaged(pins: &PinDir, why: &anyhow::Error) -> Self {
        Self { name: pins.name().to_owned(), state: DAMAGED, reason: Some(format!("{why:#}")), details: None }
    }

    /// An attachment that can't be scanned now.
    pub(crate) fn busy(pins: &PinDir, why: &anyhow::Error) -> Self {
        Self {
            name: pins.name().to_owned(),
            state: ATTACHED,
            reason: Some(format!("not scanned: {why:#}")),
            details: None,
        }
    }

    /// Something with the name of an attachment that is not injector's.
    pub(crate) fn refused(pins: &PinDir, why: &anyhow::Error) -> Self {
        Self { name: pins.name().to_owned(), state: REFUSED, reason: Some(format!("{why:#}")), details: None }
    }

    /// An active attachment.
    pub(crate) fn attached(
        attached: &Attached,
        state: AttachmentState,
        counters: &Counters,
        totals: &ScanTotals,
        coverage: Option<Coverage>,
    ) -> Self {
        let description = attached.description();
        Self {
            name: attached.name().to_owned(),
            state: match state {
                AttachmentState::CgroupRemoved => CGROUP_REMOVED,
                AttachmentState::Detached => INCOMPLETE,
                AttachmentState::Attached | AttachmentState::Unpinned | AttachmentState::Replaced => ATTACHED,
            },
            reason: None,
            details: Some(Details {
                cgroup: attached.cgroup_path().display().to_string(),
                cgroup_id: description.cgroup_id,
                since: moment(description.since_unix_ms),
                parameters: Parameters::of(attached),
                sockets: Sockets::of(counters),
                flows: FlowCounts::of(totals),
                coverage,
                idle_histogram: histogram(totals),
            }),
        }
    }
}

impl Parameters {
    /// The parameters of the policy for flows that no rule names.
    pub(crate) fn of(attached: &Attached) -> Self {
        let policy = attached.fallback();
        let keepalive = &policy.keepalive;
        Self {
            limit_ms: policy.limit_ms,
            warn_ms: policy.warn_ms,
            keepalive: InjectedKeepalive {
                idle_s: keepalive.idle_s,
                interval_s: keepalive.interval_s,
                probes: keepalive.probes,
                user_timeout_ms: keepalive.user_timeout_ms,
            },
            on_conflict: match policy.conflict {
                TIGHTEN => "tighten",
                ENFORCE => "enforce",
                _ => "respect",
            },
            guard_refused: attached.description().lacks_guard != 0,
        }
    }
}

impl FlowCounts {
    /// Counts of a scan.
    pub(crate) fn of(totals: &ScanTotals) -> Self {
        Self { total: totals.flows(), by_status: STATUS_NAMES.into_iter().zip(totals.by_status).collect() }
    }

    /// Counts in the order of the statuses.
    pub(crate) fn by_status(&self) -> impl Iterator<Item = (&'static str, u64)> {
        STATUS_NAMES.into_iter().map(|name| (name, self.by_status.get(name).copied().unwrap_or(0)))
    }
}

impl Sockets {
    fn of(counters: &Counters) -> Self {
        Self {
            active: counters.outcomes(ACTIVE).collect(),
            passive: counters.outcomes(PASSIVE).collect(),
            unreadable: counters.unreadable(),
            overruled: counters.overruled().collect(),
            failures: counters.failures(),
        }
    }
}

fn histogram(totals: &ScanTotals) -> Vec<Bucket> {
    let bounds = HISTOGRAM_BOUNDS_S.into_iter().map(Some).chain([None]);
    bounds.zip(totals.idle_histogram).map(|(le_s, count)| Bucket { le_s, count }).collect()
}

impl Display for Parameters {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let ms = |ms: u32| exact(Duration::from_millis(ms.into()));
        let InjectedKeepalive { idle_s, interval_s, probes, user_timeout_ms } = self.keepalive;
        write!(formatter, "idle timeout {}, warn at {}", ms(self.limit_ms), ms(self.warn_ms))?;
        write!(formatter, ", keepalive {idle_s}s/{interval_s}s/{probes}")?;
        if user_timeout_ms > 0 {
            write!(formatter, ", user timeout {}", ms(user_timeout_ms))?;
        }
        if self.on_conflict != "tighten" {
            write!(formatter, ", on conflict {}", self.on_conflict)?;
        }
        if self.guard_refused {
            formatter.write_str(", as this host refuses the guard")?;
        }
        Ok(())
    }
}

impl Display for AttachmentStatus {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Some(details) = &self.details else {
            return write!(formatter, "{}: {}", self.name, printable(&self.without_details()));
        };
        writeln!(
            formatter,
            "{}: {} {} since {}{}",
            self.name,
            self.hold(),
            printable(&details.cgroup),
            details.since,
            age(&details.since)
        )?;
        writeln!(formatter, "  policy   {}", details.parameters)?;
        writeln!(formatter, "  sockets  {}", list(details.sockets.totals()))?;
        for failure in &details.sockets.failures {
            writeln!(
                formatter,
                "           {} refused {} times with errno {}",
                failure.option, failure.count, failure.errno
            )?;
        }
        if details.sockets.unreadable > 0 {
            writeln!(
                formatter,
                "           {} of them injected without knowing the application's own settings",
                details.sockets.unreadable
            )?;
        }
        for (option, count) in details.sockets.overruled.iter().filter(|(_, count)| **count > 0) {
            writeln!(formatter, "           {option} overruled {count} times after the application set it")?;
        }
        writeln!(formatter, "  flows    {}", list(details.flows.by_status()))?;
        let coverage = details.coverage.as_ref();
        if let Some(adopted) = coverage.map(|coverage| coverage.adopted).filter(|&adopted| adopted > 0) {
            writeln!(formatter, "           {adopted} of them adopted")?;
        }
        if let Some(gap) = coverage.and_then(|coverage| coverage.gap(&self.name)) {
            writeln!(formatter, "  missing  {}", printable(&gap))?;
        }
        write!(formatter, "  idle     {}", bars(&details.idle_histogram))
    }
}

impl AttachmentStatus {
    fn hold(&self) -> &'static str {
        match self.state {
            ATTACHED => "attached to cgroup",
            CGROUP_REMOVED => "not active: its cgroup was removed:",
            _ => "not active: it was detached from cgroup",
        }
    }

    fn without_details(&self) -> String {
        let what = match (self.state, &self.reason) {
            (DAMAGED, Some(reason)) => format!("attached, but damaged: {reason}; `injector attach` replaces it,"),
            (_, Some(reason)) => return reason.clone(),
            _ => "incomplete, nothing is attached; `injector attach` or".to_owned(),
        };
        format!("{what} `injector detach --name {}` removes it", self.name)
    }
}

impl Sockets {
    fn totals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.active.iter().map(|(name, active)| (*name, active + self.passive.get(name).unwrap_or(&0)))
    }
}

fn age(since: &str) -> String {
    let since = humantime::parse_rfc3339(since).ok();
    let age = since.and_then(|since| SystemTime::now().duration_since(since).ok());
    age.map(|age| format!(" ({} ago)", exact(Duration::from_secs(age.as_secs())))).unwrap_or_default()
}

/// All counts that are not zero: `2 injected, 1 respected`.
pub(super) fn list(counts: impl Iterator<Item = (&'static str, u64)>) -> String {
    let counts: Vec<_> =
        counts.filter(|&(_, count)| count > 0).map(|(name, count)| format!("{count} {name}")).collect();
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
}

/// A bar per bucket, from the first to the last that holds anything.
fn bars(buckets: &[Bucket]) -> String {
    let is_filled = |bucket: &Bucket| bucket.count > 0;
    let (Some(first), Some(last)) = (buckets.iter().position(is_filled), buckets.iter().rposition(is_filled)) else {
        return "no flows".to_owned();
    };
    let most = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(1);
    let mut text = String::new();
    for (index, bucket) in buckets.iter().enumerate().take(last + 1).skip(first) {
        let bound = bucket
            .le_s
            .map_or_else(|| "above".to_owned(), |seconds| format!("<= {}", exact(Duration::from_secs(seconds))));
        let length = usize::try_from((bucket.count * BAR).div_ceil(most)).unwrap_or(0);
        let indent = if index == first { "" } else { "\n           " };
        // Writing to a string can't fail.
        let _ = write!(text, "{indent}{bound:>8}  {:<40}  {}", "#".repeat(length), bucket.count);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_scaled_to_the_fullest() {
        let buckets =
            [(Some(1), 0), (Some(5), 80), (Some(10), 0), (None, 1)].map(|(le_s, count)| Bucket { le_s, count });
        let text = bars(&buckets);
        let lines: Vec<_> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let full = "#".repeat(40);
        assert_eq!(lines, [format!("<= 5s {full} 80"), "<= 10s 0".to_owned(), "above # 1".to_owned()]);
        assert_eq!(bars(&[]), "no flows");
    }

    #[test]
    fn every_bucket_has_a_bound() {
        let buckets = histogram(&ScanTotals::EMPTY);
        assert_eq!(buckets.len(), HISTOGRAM_BOUNDS_S.len() + 1);
        assert_eq!(buckets.last().and_then(|bucket| bucket.le_s), None);
    }
}
