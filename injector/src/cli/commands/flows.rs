//! `flows`: a line per flow.

use std::{
    cmp::Reverse,
    io::{self, IsTerminal as _},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use injector_common::{
    packets::PacketRecord,
    record::FlowSample,
    scan::{self, ScanControl},
};

use super::target;
use crate::{
    agent::MAX_FLOWS,
    attachment::coverage::Coverage,
    bpf::preflight,
    cli::{
        Flows, Sort,
        remote::{self, Server},
    },
    error::{Code, Error},
    flow::{Flow, Names, Origin, remaining_ms, urgency},
    output::{self, FlowFormat, FlowWriter, ListedFlows, Totals},
};

/// A sample with its packets, and the index of its attachment.
type Owned = (usize, FlowSample, Option<PacketRecord>);

/// What the scans of all attachments found.
#[derive(Default)]
struct Found {
    /// By attachment.
    origins: Vec<Origin>,
    samples: Vec<Owned>,
    /// By attachment, with its name; only where all flows are listed.
    coverage: Vec<(String, Coverage)>,
    /// Among all flows, listed or not.
    has_findings: bool,
    /// Some attachments could not be opened.
    lacks_some: bool,
    /// Some that could be opened no longer run for any socket.
    has_inactive: bool,
}

/// Lists the flows that the arguments ask for, once or again and again.
pub(super) fn run(args: &Flows) -> anyhow::Result<Code> {
    if args.server.is_none() {
        preflight::check_capabilities()?;
    }
    let Some(interval) = args.watch else {
        return list(args);
    };
    loop {
        if io::stdout().is_terminal() {
            output::clear_screen()?;
        }
        list(args)?;
        thread::sleep(interval.max(Duration::from_millis(100)));
    }
}

fn list(args: &Flows) -> anyhow::Result<Code> {
    if let Some(server) = &args.server {
        return ask(server, args);
    }
    let Found { origins, mut samples, coverage, has_findings, lacks_some, has_inactive } = collect(args)?;
    if origins.is_empty() && !lacks_some && !has_inactive {
        output::message(format_args!("injector: nothing is attached"));
    }
    sort(args.sort, &mut samples);
    samples.truncate(args.limit.unwrap_or(usize::MAX));
    let mut names = Names::default();
    let flows = samples
        .iter()
        .filter_map(|(owner, sample, packets)| Some(names.flow(origins.get(*owner)?, sample, packets.as_ref())));
    write(args.output, flows, &coverage)?;
    for (name, gap) in coverage.iter().filter_map(|(name, coverage)| Some((name, coverage.gap(name)?))) {
        output::message(format_args!("injector: note: not listed for {name}: {gap}"));
    }
    // Where all are listed, one that is off is a note.
    let is_inactive = has_inactive && (args.fail || args.target.is_some());
    Ok(match (args.fail && has_findings, lacks_some || is_inactive) {
        (true, _) => Code::Findings,
        (false, true) => Code::Failure,
        (false, false) => Code::Ok,
    })
}

/// Lists an agent's flows. It sends as many as requested, up to a limit of its own.
fn ask(server: &Server, args: &Flows) -> anyhow::Result<Code> {
    let limit = if args.sort.is_none() { args.limit.unwrap_or(MAX_FLOWS) } else { MAX_FLOWS };
    let path = format!("/flows?at_risk={}&limit={}", u8::from(args.at_risk), limit.clamp(1, MAX_FLOWS));
    let answer = remote::get(server, &path)?;
    let listed = output::flows_of_document(&answer).with_context(|| format!("reading what {server} answered"))?;
    let ListedFlows { mut flows, totals, .. } = listed;
    let is_finding = |flow: &&Flow| matches!(&*flow.status, "at_risk" | "overdue" | "stalled");
    let findings = totals.map_or_else(|| flows.iter().filter(is_finding).count() as u64, |totals| totals.findings);
    let cut = totals.and_then(|totals| cut(args, flows.len() as u64, totals));
    match args.sort {
        None => {}
        Some(Sort::Remaining) => flows.sort_by_key(|flow| urgency(flow.remaining_ms)),
        Some(Sort::Idle) => flows.sort_by_key(|flow| Reverse(flow.idle_ms)),
        Some(Sort::Opened) => flows.sort_by_key(|flow| Reverse(flow.age_ms)),
    }
    flows.truncate(args.limit.unwrap_or(usize::MAX));
    write(args.output, flows.into_iter(), &[])?;
    if let Some(note) = cut {
        output::message(format_args!("injector: note: {note}"));
    }
    Ok(if args.fail && findings > 0 { Code::Findings } else { Code::Ok })
}

/// A note on flows that are missing, where an agent sent `sent` of them. Sorting needs all of them.
fn cut(args: &Flows, sent: u64, totals: Totals) -> Option<String> {
    let there = if args.at_risk { totals.findings } else { totals.flows };
    let limit = if args.sort.is_none() { args.limit } else { None };
    let wanted = limit.map_or(there, |limit| there.min(limit as u64));
    (sent < wanted)
        .then(|| format!("the agent lists only {sent} of {there} flows: run `injector flows` on its host for all"))
}

/// Scans all attachments before anything is written: a pager that does not read must not keep other processes waiting.
fn collect(args: &Flows) -> anyhow::Result<Found> {
    let mode = if args.at_risk { scan::FINDINGS } else { scan::ALL };
    let request = ScanControl::request(mode, 0, budget(args));
    let there = target::opened(&args.target)?;
    let mut found = Found { lacks_some: !there.skipped.is_empty(), ..Found::default() };
    let is_only_one = there.attached.len() == 1;
    for mut attached in there.attached {
        if let Err(error) = attached.check_is_active() {
            output::message(format_args!("injector: {error:#}"));
            found.has_inactive = true;
            continue;
        }
        let index = found.origins.len();
        let scanned = attached.scan_packets(request, |sample, packets| {
            found.samples.push((index, *sample, packets.copied()));
        });
        let totals = match scanned {
            // No reason to hide the others.
            Err(error) if Error::is_held(&error) && !is_only_one => {
                tracing::warn!("skipped {}: {error:#}", attached.name());
                found.lacks_some = true;
                continue;
            }
            scanned => scanned?,
        };
        if lists_all(args) {
            found.coverage.push((attached.name().to_owned(), Coverage::of(&mut attached, &totals)?));
        }
        found.has_findings |= totals.findings() > 0;
        found.origins.push(Origin::of(&attached));
    }
    Ok(found)
}

/// Whether the list is expected to have flows without a record, too.
fn lists_all(args: &Flows) -> bool {
    !args.at_risk && args.limit.is_none()
}

/// Sorting needs all flows first.
fn budget(args: &Flows) -> u32 {
    let limit = if args.sort.is_none() { args.limit } else { None };
    limit.and_then(|limit| limit.try_into().ok()).unwrap_or(scan::UNLIMITED)
}

fn sort(order: Option<Sort>, samples: &mut [Owned]) {
    match order {
        None => {}
        Some(Sort::Remaining) => samples.sort_by_key(|(_, sample, _)| urgency(remaining_ms(sample))),
        Some(Sort::Idle) => samples.sort_by_key(|(_, sample, _)| Reverse(sample.idle_ms)),
        Some(Sort::Opened) => samples.sort_by_key(|(_, sample, _)| Reverse(sample.age_ms)),
    }
}

fn write(format: FlowFormat, flows: impl Iterator<Item = Flow>, coverage: &[(String, Coverage)]) -> anyhow::Result<()> {
    if format == FlowFormat::Json {
        let flows: Vec<_> = flows.collect();
        return output::json_document(&output::flows_document(&flows, coverage));
    }
    let mut writer = FlowWriter::new(format);
    for flow in flows {
        writer.flow(&flow)?;
    }
    Ok(writer.finish()?)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn flows_that_an_agent_omits_are_reported() {
        for (arguments, sent, expected) in [
            ("", 10, None),
            ("", 9, Some("only 9 of 10 flows")),
            ("--limit 3", 3, None),
            ("--limit 20000", 10, None),
            ("--limit 20000", 9, Some("only 9 of 10 flows")),
            ("--limit 3 --sort idle", 10, None),
            ("--limit 3 --sort idle", 9, Some("only 9 of 10 flows")),
            ("--at-risk", 4, None),
            ("--at-risk", 3, Some("only 3 of 4 flows")),
            ("--at-risk --limit 2", 2, None),
        ] {
            let line = ["injector", "flows", "--server", "/x"].into_iter().chain(arguments.split_whitespace());
            let Cli { command: Command::Flows(args), .. } = Cli::try_parse_from(line).expect(arguments) else {
                panic!("another command");
            };
            let note = cut(&args, sent, Totals { flows: 10, findings: 4 });
            assert_eq!(note.is_some(), expected.is_some(), "{arguments} {sent}: {note:?}");
            assert!(note.unwrap_or_default().contains(expected.unwrap_or_default()), "{arguments} {sent}");
        }
    }

    #[test]
    fn orders() {
        let sample = |cookie, idle_ms, limit_ms, age_ms| FlowSample {
            cookie,
            idle_ms,
            limit_ms,
            age_ms,
            ..FlowSample::default()
        };
        let samples =
            [(0, sample(1, 10, 100, 50), None), (0, sample(2, 60, 1000, 70), None), (0, sample(3, 20, 25, 60), None)];
        let order = |order| {
            let mut samples = samples;
            sort(order, &mut samples);
            samples.map(|(_, sample, _)| sample.cookie)
        };
        assert_eq!(order(None), [1, 2, 3]);
        assert_eq!(order(Some(Sort::Remaining)), [3, 1, 2]);
        assert_eq!(order(Some(Sort::Idle)), [2, 3, 1]);
        assert_eq!(order(Some(Sort::Opened)), [2, 3, 1]);
    }
}
