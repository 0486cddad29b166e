//! `timeouts`: every hop, and the keepalive that it needs.

use std::collections::HashMap;

use injector_common::record::FlowBrief;

use super::hops;
use crate::{
    bpf::{Attached, pins, preflight},
    cli::Timeouts,
    discovery::local::Host,
    error::Code,
    output::{self, Format, Limited},
};

pub(super) fn run(args: &Timeouts) -> anyhow::Result<Code> {
    let mut hops = hops::load(&args.hops)?.hops;
    if hops.is_empty() {
        output::message(format_args!("injector: note: no hops are known: name them by --hop or --config"));
    }
    let limited = limited().unwrap_or_default();
    let host = Host::read();
    hops.extend(host.conntrack_hop());
    match args.output {
        Format::Json => output::json_document(&output::timeouts_document(&hops, &host, &limited))?,
        Format::Table => {
            let report = output::timeouts_report(&hops, &host, &limited, output::stdout::columns());
            output::lines(&report)?;
        }
    }
    Ok(Code::Ok)
}

/// How many flows each hop limits now, by its name in the attachments. `None` without the privilege to look.
fn limited() -> Option<Limited> {
    preflight::check_capabilities().ok()?;
    let there = {
        let _lock = pins::lock_for_listing().ok()??;
        Attached::all().ok()?
    };
    there.warn();
    let mut limited = Limited::default();
    for mut attached in there.attached {
        let mut by_index: HashMap<u32, u64> = HashMap::new();
        let count = |brief: &FlowBrief| {
            for index in [brief.hop, brief.layer7_hop] {
                *by_index.entry(index).or_default() += 1;
            }
        };
        attached.brief(count).ok()?;
        let hops = attached.hops();
        for name in hops.names() {
            limited.entry(name).or_default();
        }
        for (index, count) in by_index {
            if let Some(name) = hops.name(index) {
                *limited.entry(name).or_default() += count;
            }
        }
    }
    Some(limited)
}
