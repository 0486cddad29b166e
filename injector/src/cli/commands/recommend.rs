//! `recommend`: settings for places where no eBPF runs.

use super::hops;
use crate::{
    advice::recommend::{self, Limit},
    cli::Recommend,
    config::Config,
    error::Code,
    hop::Hop,
    output,
    rules::settings::DEFAULT_TIMEOUT,
};

/// Prints the settings for one target.
pub(super) fn run(args: &Recommend) -> anyhow::Result<Code> {
    let config = hops::load(&args.hops)?;
    let (timeout, hop) = match (args.timeout, shortest(&config)) {
        (Some(timeout), _) => (timeout, None),
        (None, Some(hop)) => (hop.timeout, Some(hop.name.clone())),
        (None, None) => (config.attach.timeout.unwrap_or(DEFAULT_TIMEOUT), None),
    };
    let text = recommend::text(args.target, &Limit::new(timeout, hop)?)?;
    output::stdout::bytes(text.as_bytes())?;
    Ok(Code::Ok)
}

/// The hop that expires first, of those that keepalive helps against. Settings
/// for a whole program have to serve all of its connections.
fn shortest(config: &Config) -> Option<&Hop> {
    config.hops.iter().filter(|hop| hop.kind.facts().keepalive).min_by_key(|hop| hop.timeout)
}
