//! A list of flows. Columns have fixed widths, so that a long list streams.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use injector_common::scan::ScanTotals;
use serde::{Deserialize, Serialize};

use crate::{
    attachment::coverage::Coverage,
    flow::Flow,
    output::FlowFormat,
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

/// What an agent answers.
#[derive(Debug, Serialize)]
struct Served<'a> {
    #[serde(flatten)]
    document: Document<'a>,
    totals: Totals,
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

/// The same as an agent answers it, which lists no more than so many.
pub fn served_flows(flows: &[Flow], totals: Totals) -> impl Serialize + '_ {
    Served { document: Document { schema: SCHEMA, flows, coverage: BTreeMap::new() }, totals }
}

/// What is read of such a document.
#[derive(Debug, Deserialize)]
pub struct Listed {
    schema: String,
    /// Those that are listed.
    pub flows: Vec<Flow>,
    /// Of all; where an agent answered.
    pub totals: Option<Totals>,
}

/// Reads such a document.
///
/// Errors where it is none.
pub fn flows_of_document(text: &[u8]) -> anyhow::Result<Listed> {
    let listed: Listed = serde_json::from_slice(text)?;
    anyhow::ensure!(listed.schema == SCHEMA, "{:?} is not {SCHEMA:?}", listed.schema);
    Ok(listed)
}

/// Writes flows, one by one.
#[derive(Debug)]
pub struct FlowWriter<W> {
    format: FlowFormat,
    output: W,
}

impl<W: Write> FlowWriter<W> {
    /// A writer of `format`; [`FlowFormat::Json`] is written as a whole, by
    /// [`flows_document`].
    pub const fn new(format: FlowFormat, output: W) -> Self {
        Self { format, output }
    }

    /// Writes the column heads, where the format has any.
    pub fn head(&mut self) -> io::Result<()> {
        match self.format {
            FlowFormat::Jsonl | FlowFormat::Json => Ok(()),
            FlowFormat::Table => self.line(&row(&HEAD)),
            FlowFormat::Wide => self.line(&format!("{}  {WIDE_HEAD}", row(&HEAD))),
        }
    }

    /// Writes a flow.
    pub fn flow(&mut self, flow: &Flow) -> io::Result<()> {
        match self.format {
            FlowFormat::Jsonl | FlowFormat::Json => self.line(&serde_json::to_string(flow)?),
            FlowFormat::Table => self.line(&printable(&columns(flow))),
            FlowFormat::Wide => self.line(&printable(&format!("{}  {}", columns(flow), wide(flow)))),
        }
    }

    /// Writes what is still buffered.
    pub fn finish(mut self) -> io::Result<()> {
        self.output.flush()
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.output, "{}", text.trim_end())
    }
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
const WIDTHS: [usize; 13] = [9, 8, 8, 8, 7, 8, 12, 11, 7, 21, 21, 20, 18];
const WIDE_HEAD: &str = "STATE        AGE       OUTCOME    UID    NETNS       INODE     COOKIE      REASON";

fn row(cells: &[&str; 13]) -> String {
    let cells: Vec<_> = cells.iter().zip(WIDTHS).map(|(cell, width)| format!("{cell:width$}")).collect();
    cells.join("  ")
}

fn columns(flow: &Flow) -> String {
    let (limit_ms, hop) = limit(flow);
    row(&[
        &flow.status,
        &short(flow.remaining_ms),
        &elapsed(flow.idle_ms),
        &elapsed(flow.app_idle_ms),
        &elapsed(limit_ms),
        hop.as_deref().unwrap_or("-"),
        &keepalive(flow),
        &flow.keepalive.owner,
        &flow.direction,
        &flow.local.to_string(),
        &flow.peer.to_string(),
        &cgroup(flow),
        &process(flow),
    ])
}

fn wide(flow: &Flow) -> String {
    format!(
        "{:11}  {:8}  {:9}  {:<5}  {:<10}  {:<8}  {:<10}  {}",
        flow.state,
        elapsed(flow.age_ms),
        flow.outcome,
        flow.uid,
        flow.netns,
        flow.inode,
        flow.cookie,
        flow.reason.as_deref().unwrap_or("-"),
    )
}

/// Idle, interval and probes in the way people quote them: `240/30/9`.
pub(super) fn keepalive(flow: &Flow) -> String {
    let keepalive = &flow.keepalive;
    if keepalive.enabled {
        format!("{}/{}/{}", keepalive.idle_s, keepalive.interval_s, keepalive.probes)
    } else {
        "off".to_owned()
    }
}

/// The shortest limit, and the hop that has it.
fn limit(flow: &Flow) -> (u64, &Option<String>) {
    let timer = flow.layer7.as_ref().filter(|timer| timer.timeout_ms < flow.limit_ms);
    timer.map_or((flow.limit_ms, &flow.hop), |timer| (timer.timeout_ms, &timer.hop))
}

/// Its path, or its id once it is removed.
fn cgroup(flow: &Flow) -> String {
    flow.cgroup.clone().unwrap_or_else(|| format!("removed:{}", flow.cgroup_id))
}

pub(super) fn process(flow: &Flow) -> String {
    flow.process.as_ref().map_or_else(|| "-".to_owned(), |process| format!("{} {}", process.pid, process.name))
}

/// Processes, cgroups and servers choose names, control characters included: a line stays one line, and no name rules the
/// terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '?' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_documents_are_refused() {
        let text = serde_json::to_vec(&flows_document(&[], &[])).expect("JSON");
        let Listed { flows, totals, .. } = flows_of_document(&text).expect("flows");
        assert_eq!((flows.len(), totals), (0, None));
        let totals = Totals { flows: 3, findings: 2 };
        let text = serde_json::to_vec(&served_flows(&[], totals)).expect("JSON");
        assert_eq!(flows_of_document(&text).expect("flows").totals, Some(totals));
        for text in ["", "{}", r#"{"schema": "injector.status/v1", "flows": []}"#] {
            assert!(flows_of_document(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn names_can_not_control_the_terminal() {
        assert_eq!(printable("a\x1b[31mb\n"), "a?[31mb?");
    }
}
