//! A list of flows. It may be long: it is written while flows are found.

use std::collections::BTreeMap;

use bytes::Bytes;
use injector_common::scan::ScanTotals;
use serde::{Deserialize, Serialize};

use super::{stdout::Lines, table::StreamedTable};
use crate::{
    attachment::coverage::Coverage,
    error::Error,
    flow::{Flow, Layer7},
    output::FlowFormat,
    printable::{self, printable},
    units::{elapsed, short},
};

/// The document of `flows -o json`.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    flows: &'a [Flow],
    /// By attachment; empty where not all flows were asked for.
    coverage: BTreeMap<&'a str, &'a Coverage>,
}

/// What an agent answers: the same with [`Totals`], written once and cut for each that asks for less of it.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    head: Bytes,
    flows: Bytes,
    /// Where each flow ends.
    ends: Vec<usize>,
    tail: Bytes,
}

impl Served {
    /// The document with the first so many flows, in parts that share memory.
    pub(crate) fn first(&self, limit: usize) -> [Bytes; 3] {
        let end = self.ends.get(limit.min(self.ends.len()).wrapping_sub(1)).copied().unwrap_or(0);
        [self.head.clone(), self.flows.slice(..end), self.tail.clone()]
    }
}

/// How many flows there are, listed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// All but those that are closing.
    pub flows: u64,
    /// At risk, overdue or stalled.
    pub findings: u64,
}

impl From<&ScanTotals> for Totals {
    fn from(totals: &ScanTotals) -> Self {
        Self { flows: totals.flows(), findings: totals.findings() }
    }
}

/// Its name, and the version of its form.
const SCHEMA: &str = "injector.flows/v1";

/// The document of `flows -o json`.
pub fn flows_document<'a>(flows: &'a [Flow], coverage: &'a [(String, Coverage)]) -> impl Serialize + 'a {
    let coverage = coverage.iter().map(|(name, coverage)| (name.as_str(), coverage)).collect();
    Document { schema: SCHEMA, flows, coverage }
}

/// The same as an agent answers it.
pub(crate) fn served_flows(flows: impl Iterator<Item = Flow>, totals: Totals) -> serde_json::Result<Served> {
    let (mut text, mut ends) = (Vec::new(), Vec::new());
    for flow in flows {
        if !text.is_empty() {
            text.push(b',');
        }
        serde_json::to_writer(&mut text, &flow)?;
        ends.push(text.len());
    }
    Ok(Served {
        head: format!(r#"{{"schema":"{SCHEMA}","flows":["#).into(),
        flows: text.into(),
        ends,
        tail: format!(r#"],"coverage":{{}},"totals":{}}}"#, serde_json::to_string(&totals)?).into(),
    })
}

/// What is read of such a document.
#[derive(Debug, Deserialize)]
pub struct ListedFlows {
    schema: String,
    /// Those that are listed.
    pub flows: Vec<Flow>,
    /// Of all; where an agent answered.
    pub totals: Option<Totals>,
}

/// Reads such a document.
///
/// Errors where it is none.
pub fn flows_of_document(text: &[u8]) -> anyhow::Result<ListedFlows> {
    let listed: ListedFlows = serde_json::from_slice(text)?;
    anyhow::ensure!(listed.schema == SCHEMA, "{:?} is not {SCHEMA:?}", listed.schema);
    Ok(listed)
}

/// Writes flows to stdout, one by one.
#[derive(Debug)]
pub(crate) struct FlowWriter {
    format: FlowFormat,
    output: Lines,
    table: StreamedTable,
}

impl FlowWriter {
    /// A writer of `format`; [`FlowFormat::Json`] is written as a whole, by
    /// [`flows_document`].
    pub(crate) fn new(format: FlowFormat) -> Self {
        let head: Vec<_> =
            HEAD.iter().chain(WIDE_HEAD.iter().filter(|_| format == FlowFormat::Wide)).copied().collect();
        Self { format, output: Lines::new(), table: StreamedTable::new(&head) }
    }

    /// Writes a flow.
    pub(crate) fn flow(&mut self, flow: &Flow) -> anyhow::Result<()> {
        let lines = match self.format {
            FlowFormat::Jsonl | FlowFormat::Json => vec![flow_line(self.format, flow)?],
            FlowFormat::Table | FlowFormat::Wide => self.table.row(cells(self.format, flow)),
        };
        Ok(lines.iter().try_for_each(|line| self.output.line(line))?)
    }

    /// Writes what is still buffered, and the column heads where no flow came.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        if matches!(self.format, FlowFormat::Table | FlowFormat::Wide) {
            self.table.finish().iter().try_for_each(|line| self.output.line(line))?;
        }
        self.output.finish()
    }
}

/// The line of a flow.
pub fn flow_line(format: FlowFormat, flow: &Flow) -> serde_json::Result<String> {
    Ok(match format {
        FlowFormat::Jsonl | FlowFormat::Json => printable::json(&serde_json::to_string(flow)?),
        FlowFormat::Table | FlowFormat::Wide => cells(format, flow).join("  "),
    })
}

const HEAD: [&str; 13] = [
    "STATUS",
    "LEFT",
    "IDLE",
    "APP IDLE",
    "LIMIT",
    "HOP",
    "KEEPALIVE",
    "BY",
    "DIR",
    "LOCAL",
    "PEER",
    "CGROUP",
    "PROCESS",
];
const WIDE_HEAD: [&str; 8] = ["STATE", "AGE", "OUTCOME", "UID", "NETNS", "INODE", "COOKIE", "REASON"];

/// The cells of a row.
fn cells(format: FlowFormat, flow: &Flow) -> Vec<String> {
    let wide = if format == FlowFormat::Wide { wide(flow).to_vec() } else { Vec::new() };
    columns(flow).into_iter().chain(wide).map(|cell| printable(&cell)).collect()
}

fn columns(flow: &Flow) -> [String; HEAD.len()] {
    let (limit_ms, hop) = limit(flow);
    [
        flow.status.to_string(),
        flow.remaining_ms.map_or_else(none, short),
        elapsed(flow.idle_ms),
        elapsed(flow.app_idle_ms),
        limit_ms.map_or_else(none, elapsed),
        hop.clone().unwrap_or_else(none),
        keepalive(flow),
        flow.keepalive.owner.to_string(),
        flow.direction.to_string(),
        flow.local.to_string(),
        flow.peer.to_string(),
        cgroup(flow),
        process(flow),
    ]
}

fn wide(flow: &Flow) -> [String; WIDE_HEAD.len()] {
    [
        flow.state.to_string(),
        elapsed(flow.age_ms),
        flow.outcome.to_string(),
        flow.uid.to_string(),
        flow.netns.to_string(),
        flow.inode.to_string(),
        flow.cookie.to_string(),
        flow.reason.clone().unwrap_or_else(none),
    ]
}

/// Idle, interval and probes in short form: `240/30/9`.
pub(super) fn keepalive(flow: &Flow) -> String {
    let keepalive = &flow.keepalive;
    if keepalive.enabled {
        format!("{}/{}/{}", keepalive.idle_s, keepalive.interval_s, keepalive.probes)
    } else {
        "off".to_owned()
    }
}

fn none() -> String {
    "-".to_owned()
}

/// The shortest limit, and the hop that has it.
fn limit(flow: &Flow) -> (Option<u64>, &Option<String>) {
    let is_shorter = |timer: &&Layer7| flow.limit_ms.is_none_or(|limit_ms| timer.timeout_ms < limit_ms);
    let timer = flow.layer7.as_ref().filter(is_shorter);
    timer.map_or((flow.limit_ms, &flow.hop), |timer| (Some(timer.timeout_ms), &timer.hop))
}

/// Its path, or its id once it is removed.
fn cgroup(flow: &Flow) -> String {
    flow.cgroup.clone().unwrap_or_else(|| format!("removed:{}", flow.cgroup_id))
}

pub(super) fn process(flow: &Flow) -> String {
    flow.process.as_ref().map_or_else(|| "-".to_owned(), |process| format!("{} {}", process.pid, process.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_cut_between_flows() {
        let (head, tail) = (Bytes::from_static(b"["), Bytes::from_static(b"]"));
        let served = Served { head, flows: Bytes::from_static(b"a,bb,ccc"), ends: vec![1, 4, 8], tail };
        for (limit, expected) in [(0, "[]"), (1, "[a]"), (2, "[a,bb]"), (3, "[a,bb,ccc]"), (usize::MAX, "[a,bb,ccc]")] {
            assert_eq!(served.first(limit).concat(), expected.as_bytes(), "{limit}");
        }
    }

    #[test]
    fn other_documents_are_refused() {
        let text = serde_json::to_vec(&flows_document(&[], &[])).expect("JSON");
        let ListedFlows { flows, totals, .. } = flows_of_document(&text).expect("flows");
        assert_eq!((flows.len(), totals), (0, None));
        let totals = Totals { flows: 3, findings: 2 };
        let text = served_flows(std::iter::empty(), totals).expect("JSON").first(1).concat();
        assert_eq!(flows_of_document(&text).expect("flows").totals, Some(totals));
        for text in ["", "{}", r#"{"schema": "injector.status/v1", "flows": []}"#] {
            assert!(flows_of_document(text.as_bytes()).is_err(), "{text}");
        }
    }
}
