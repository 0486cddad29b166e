//! `adopt`: takes over connections that were there before.

use super::target;
use crate::{
    adopt::{self, Unless},
    bpf::Attached,
    cli::Adopt,
    exit::Code,
    output::{self, Event, EventWriter},
    pins, preflight,
};

/// Adopts into the attachments that the arguments name.
pub(super) fn run(args: &Adopt) -> anyhow::Result<Code> {
    preflight::check_capabilities()?;
    let _lock = pins::lock_for_listing()?;
    for mut attached in target::attachments(&args.target)? {
        existing(&mut attached, EventWriter::new(args.output))?;
    }
    Ok(Code::Ok)
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
