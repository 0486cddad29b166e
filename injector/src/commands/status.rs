//! `status`: what is attached, and how it does.

use crate::{
    bpf::Attached,
    cli::{Format, Status},
    coverage::Coverage,
    exit::{Code, Error},
    output::{self, AttachmentStatus},
    pins::{self, OtherVersion, PinDir},
    preflight,
};

/// Reports on every attachment of this host.
pub(super) fn run(args: &Status) -> anyhow::Result<Code> {
    preflight::check_capabilities()?;
    let lock = pins::lock_for_listing()?;
    let mut attachments = PinDir::all()?.iter().map(describe).collect::<anyhow::Result<Vec<_>>>()?;
    attachments.extend(OtherVersion::all()?.iter().map(AttachmentStatus::other_version));
    drop(lock);
    match args.output {
        Format::Json => output::json_document(&output::status_document(&attachments))?,
        Format::Table => output::line(format_args!("{}", output::status_report(&attachments)))?,
    }
    Ok(Code::Ok)
}

fn describe(pins: &PinDir) -> anyhow::Result<AttachmentStatus> {
    if let Err(error) = pins.check() {
        return Ok(AttachmentStatus::refused(pins, &error));
    }
    if !pins.is_attached() {
        return Ok(AttachmentStatus::incomplete(pins));
    }
    // Complete once, and damaged from outside: no reason to hide the others.
    let mut attached = match Attached::open(pins.clone()) {
        Ok(attached) => attached,
        Err(error) if Error::is_refusal(&error) => return Ok(AttachmentStatus::refused(pins, &error)),
        Err(_) => return Ok(AttachmentStatus::incomplete(pins)),
    };
    let counters = attached.counters()?;
    let totals = attached.totals()?;
    let coverage = Coverage::of(&mut attached, &totals)?;
    Ok(AttachmentStatus::attached(&attached, attached.standing()?, &counters, &totals, Some(coverage)))
}
