//! `run`: the agent.

use crate::{agent, cli::Run, error::Code};

/// Runs it until a signal ends it.
pub(super) fn run(args: Run, verbose: u8) -> anyhow::Result<Code> {
    agent::run(args.config, &args.listen, verbose)?;
    Ok(Code::Ok)
}
