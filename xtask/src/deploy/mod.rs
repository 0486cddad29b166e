//! `cargo xtask deploy`: what `deploy/` ships. Renders the plain manifest from the chart, and checks all of it.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::{say, setup, workspace};

mod chart;
mod prometheus;
mod schema;
mod systemd;

/// Render the plain Kubernetes manifest from the Helm chart.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Change nothing: fail when anything in `deploy/` is not as it should be.
    #[arg(long)]
    check: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::deploy()?;
    if args.check {
        return check();
    }
    let path = manifest();
    fs::write(&path, chart::manifest()?).with_context(|| format!("writing {}", path.display()))?;
    say::info(format_args!("wrote {}", path.display()));
    Ok(())
}

/// Checks everything in `deploy/`.
pub(crate) fn check() -> Result<()> {
    say::info("deploy: chart and manifest");
    let committed = fs::read_to_string(manifest()).with_context(|| format!("reading {}", manifest().display()))?;
    ensure!(
        committed == chart::manifest()?,
        "{} is not what the chart renders: run `cargo xtask deploy`",
        manifest().display()
    );
    chart::lint()?;
    schema::check(&manifest())?;
    say::info("deploy: Prometheus");
    prometheus::check()?;
    say::info("deploy: systemd");
    systemd::check()
}

fn manifest() -> PathBuf {
    directory().join("kubernetes/injector.yaml")
}

fn directory() -> PathBuf {
    workspace::root().join("deploy")
}
