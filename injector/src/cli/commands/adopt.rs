//! `adopt`: takes over connections that were opened before the attachment.

use super::target;
use crate::{
    attachment::{
        adopt::{self, AdoptDefault, Report},
        coverage::Coverage,
    },
    bpf::{
        Attached,
        pins::{self, Lock},
        preflight,
    },
    cli::Adopt,
    error::Code,
    output::{self, Event, EventWriter},
};

/// Adopts connections into the given attachments.
pub(super) fn run(args: &Adopt) -> anyhow::Result<Code> {
    preflight::check_capabilities()?;
    let mut there = target::opened(&args.target)?;
    there.attached.iter().try_for_each(Attached::check_is_active)?;
    let adopt = |attached: &mut Attached| existing(attached, &pins::lock_for_adopting()?);
    let reports = there.attached.iter_mut().map(adopt).collect::<anyhow::Result<Vec<_>>>()?;
    for (attached, report) in there.attached.iter().zip(&reports) {
        EventWriter::new(args.output).write(&Event::Adopted { attachment: attached.name(), report })?;
    }
    Ok(if there.skipped.is_empty() { Code::Ok } else { Code::Failure })
}

/// Adopts, and reports what can't be covered, which is no error.
fn existing(attached: &mut Attached, lock: &Lock) -> anyhow::Result<Report> {
    let report = adopt::adopt(attached, AdoptDefault::All, lock, &|| {})?;
    if let Some(gap) = report.gap() {
        output::message(format_args!("injector: note: {gap}"));
    }
    let totals = attached.totals()?;
    // The report names those processes.
    let coverage = Coverage { hidden_processes: 0, ..Coverage::of(attached, &totals)? };
    if let Some(gap) = coverage.gap(attached.name()) {
        output::message(format_args!("injector: note: {}: not covered: {gap}", attached.name()));
    }
    Ok(report)
}
