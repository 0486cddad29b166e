//! `timeouts`: every hop, and the keepalive that it asks for.

use super::hops;
use crate::{
    cli::{Format, Timeouts},
    exit::Code,
    host::Host,
    output,
};

pub(super) fn run(args: &Timeouts) -> anyhow::Result<Code> {
    let mut hops = hops::load(&args.hops)?.hops;
    if hops.is_empty() {
        output::message(format_args!("injector: note: no hops are known: name them by --hop or --config"));
    }
    let host = Host::read();
    hops.extend(host.conntrack_hop());
    match args.output {
        Format::Json => output::json_document(&output::timeouts_document(&hops, &host))?,
        Format::Table => output::line(format_args!("{}", output::timeouts_report(&hops, &host)))?,
    }
    Ok(Code::Ok)
}
