//! `check`: timeouts that conflict along the path of the flows.

use super::hops;
use crate::{
    advice::check::{Evidence, findings},
    cli::Check,
    discovery::local::Host,
    error::Code,
    output::{self, Format},
};

pub(super) fn run(args: &Check) -> anyhow::Result<Code> {
    let config = hops::load(&args.hops)?;
    let host = Host::read();
    let found = findings(&Evidence { config: &config, host: &host });
    match args.output {
        Format::Json => output::json_document(&output::findings_document(&found, &host))?,
        Format::Table => output::lines(&output::findings_report(&found))?,
    }
    Ok(if found.is_empty() { Code::Ok } else { Code::Findings })
}
