//! `adopt`: takes over connections that were there before.

use super::target;
use crate::{
    adopt::{self, Unless},
    bpf::Attached,
    cli::Adopt,
    exit::Code,
    output::{self, Event, EventWriter},
    preflight,
};

/// Adopts into the attachments that the arguments name.
pub(super) fn run(args: &Adopt) -> anyhow::Result<Code> {
    preflight::check_capabilities()?;
    let there = target::opened(&args.target)?;
    for mut attached in there.attached {
        existing(&mut attached, EventWriter::new(args.output))?;
    }
    Ok(if there.left_out.is_empty() { Code::Ok } else { Code::Failure })
}

/// Adopts, and tells what came of it. What can't be covered is no error.
pub(super) fn existing(attached: &mut Attached, writer: EventWriter) -> anyhow::Result<()> {
    let report = adopt::adopt(attached, Unless::ToldNot)?;
    writer.write(&Event::Adopted { name: attached.name(), report: &report })?;
    if let Some(gap) = report.gap() {
        output::message(format_args!("injector: note: {gap}"));
    }
    Ok(())
}
