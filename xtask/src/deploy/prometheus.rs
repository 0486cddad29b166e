//! Alert rules, and what the agent exports.

use std::process::Command;

use anyhow::Result;

use super::directory;
use crate::{cargo::cargo, run};

/// Checks rules and runs their tests; has promtool look at the encoded metrics.
pub(super) fn check() -> Result<()> {
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"])?;
    promtool(&["test", "rules", "rules_test.yaml"])?;
    promtool(&["check", "config", "../cloudwatch/injector.yaml"])?;
    run::run(
        cargo().args(["test", "--quiet", "--package", "injector", "--test", "exports", "--", "--include-ignored"]),
        "mend the metrics, or what asks for them",
    )
}

fn promtool(args: &[&str]) -> Result<()> {
    run::run(
        Command::new("promtool").args(args).current_dir(directory().join("prometheus")),
        "mend the file; `cargo xtask setup` installs promtool",
    )
}
