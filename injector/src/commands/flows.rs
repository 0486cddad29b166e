//! `flows`: a line per flow.

use std::{cmp::Reverse, io::IsTerminal as _, thread, time::Duration};

use injector_common::{flow::FlowSample, scan, status::is_finding};

use super::target;
use crate::{
    bpf::Attached,
    cli::{FlowFormat, Flows, Sort},
    exit::Code,
    flow::{Flow, Names, remaining_ms},
    output::{self, FlowWriter},
    preflight,
};

/// Clears the screen and goes to its upper left corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Lists the flows that the arguments ask for, once or again and again.
pub(super) fn run(args: &Flows) -> anyhow::Result<Code> {
    preflight::check_capabilities()?;
    let mut attachments = target::attachments(&args.target)?;
    let Some(interval) = args.watch else {
        return list(args, &mut attachments);
    };
    loop {
        if std::io::stdout().is_terminal() {
            output::line(format_args!("{CLEAR}"))?;
        }
        list(args, &mut attachments)?;
        thread::sleep(interval.max(Duration::from_millis(100)));
    }
}

fn list(args: &Flows, attachments: &mut [Attached]) -> anyhow::Result<Code> {
    let mut samples = collect(args, attachments)?;
    let has_findings = samples.iter().any(|(_, sample)| is_finding(sample.status));
    sort(args.sort, &mut samples);
    samples.truncate(args.limit.unwrap_or(usize::MAX));
    let mut names: Vec<_> = attachments.iter().map(Names::of).collect();
    let flows = samples.iter().filter_map(|(owner, sample)| Some(names.get_mut(*owner)?.flow(sample)));
    write(args.output, flows)?;
    Ok(if args.fail && has_findings { Code::Findings } else { Code::Ok })
}

/// Scans all attachments before anything is written: a pager that is not read
/// from must not keep other scans waiting. Each sample comes with the index of
/// its attachment.
fn collect(args: &Flows, attachments: &mut [Attached]) -> anyhow::Result<Vec<(usize, FlowSample)>> {
    let mode = if args.at_risk { scan::FINDINGS } else { scan::ALL };
    let mut samples = Vec::new();
    for (index, attached) in attachments.iter_mut().enumerate() {
        attached.scan(mode, 0, |sample| samples.push((index, *sample)))?;
    }
    Ok(samples)
}

fn sort(order: Option<Sort>, samples: &mut [(usize, FlowSample)]) {
    match order {
        None => {}
        Some(Sort::Remaining) => samples.sort_by_key(|(_, sample)| remaining_ms(sample)),
        Some(Sort::Idle) => samples.sort_by_key(|(_, sample)| Reverse(sample.idle_ms)),
        Some(Sort::Opened) => samples.sort_by_key(|(_, sample)| Reverse(sample.age_ms)),
    }
}

fn write(format: FlowFormat, flows: impl Iterator<Item = Flow>) -> anyhow::Result<()> {
    if format == FlowFormat::Json {
        let flows: Vec<_> = flows.collect();
        return Ok(output::json_document(&output::flows_document(&flows))?);
    }
    let mut writer = FlowWriter::new(format);
    writer.head()?;
    for flow in flows {
        writer.flow(&flow)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders() {
        let sample = |cookie, idle_ms, limit_ms, age_ms| FlowSample {
            cookie,
            idle_ms,
            limit_ms,
            age_ms,
            ..FlowSample::default()
        };
        let samples = [(0, sample(1, 10, 100, 50)), (0, sample(2, 60, 1000, 70)), (0, sample(3, 20, 25, 60))];
        let order = |order| {
            let mut samples = samples;
            sort(order, &mut samples);
            samples.map(|(_, sample)| sample.cookie)
        };
        assert_eq!(order(None), [1, 2, 3]);
        assert_eq!(order(Some(Sort::Remaining)), [3, 1, 2]);
        assert_eq!(order(Some(Sort::Idle)), [2, 3, 1]);
        assert_eq!(order(Some(Sort::Opened)), [2, 3, 1]);
    }
}
