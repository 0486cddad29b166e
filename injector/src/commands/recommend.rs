//! `recommend`: settings for places where no eBPF runs.

use std::io::{self, Write as _};

use crate::{
    cli::Recommend,
    exit::Code,
    recommend::{self, Limit},
};

/// Prints the settings for one target.
pub(super) fn run(args: &Recommend) -> anyhow::Result<Code> {
    let limit = Limit::new(args.timeout, None)?;
    let text = recommend::text(args.target, &limit)?;
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Code::Ok)
}
