//! `status`: the attachments and their state.

use crate::{
    attachment::coverage::Coverage,
    bpf::{
        self, Attached,
        pins::{self, PinDir},
        preflight,
    },
    cli::Status,
    error::{Code, Error},
    output::{self, AttachmentStatus, Format},
};

/// Reports on every attachment of this host.
pub(super) fn run(args: &Status) -> anyhow::Result<Code> {
    preflight::check_capabilities()?;
    let lock = pins::lock_for_listing()?;
    let all = PinDir::all()?;
    drop(lock);
    let mut attachments = Vec::new();
    for pins in &all {
        attachments.extend(describe(pins)?);
    }
    match args.output {
        Format::Json => output::json_document(&output::status_document(&attachments))?,
        Format::Table => output::lines(&output::status_report(&attachments))?,
    }
    Ok(Code::Ok)
}

/// `None` where it was detached meanwhile.
fn describe(pins: &PinDir) -> anyhow::Result<Option<AttachmentStatus>> {
    let lock = pins::lock_for_listing()?;
    if !pins.exists() {
        return Ok(None);
    }
    if let Err(error) = pins.check() {
        return Ok(Some(AttachmentStatus::refused(pins, &error)));
    }
    if !pins.is_attached() {
        return Ok(Some(AttachmentStatus::incomplete(pins)));
    }
    // Damaged by another process: no reason to hide the others.
    let mut attached = match Attached::open(pins.clone()) {
        Ok(attached) => attached,
        Err(error) if Error::is_refusal(&error) => return Ok(Some(AttachmentStatus::refused(pins, &error))),
        Err(error) if bpf::hooked_to(pins).is_some() => return Ok(Some(AttachmentStatus::damaged(pins, &error))),
        Err(_) => return Ok(Some(AttachmentStatus::incomplete(pins))),
    };
    let state = attached.state()?;
    // An open attachment can be read even if its pins go: the lock is not held during the scan.
    drop(lock);
    let scanned = attached.totals().and_then(|totals| Ok((Coverage::of(&mut attached, &totals)?, totals)));
    let (coverage, totals) = match scanned {
        Ok(scanned) => scanned,
        Err(error) if Error::is_held(&error) => return Ok(Some(AttachmentStatus::busy(pins, &error))),
        Err(error) => return Err(error),
    };
    let counters = attached.counters()?;
    Ok(Some(AttachmentStatus::attached(&attached, state, &counters, &totals, Some(coverage))))
}
