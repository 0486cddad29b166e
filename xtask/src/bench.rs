//! `cargo xtask bench`: what injector costs and does, beside the alternatives.
//!
//! The benchmarks themselves are an example of `injector-tests`, so that the other commands don't need the lab they are
//! built on.

use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result, ensure};

use crate::{
    cargo::cargo,
    injector::{self, HARNESS},
    run, setup, workspace,
};

/// Measure what injector costs and does, beside the alternatives (as root, up to 20 min).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these benchmarks, e.g. `connect`.
    names: Vec<String>,
    /// A few small rounds: whether it runs at all.
    #[arg(long)]
    quick: bool,
    /// Write docs/src/benchmarks.md from all results in target/bench/.
    #[arg(long, conflicts_with = "quick")]
    record: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "benchmarks need root (they load BPF programs and make network namespaces): run `cargo xtask bench` as root"
    );
    setup::testing()?;
    setup::benchmarks()?;
    let injector = injector::build("release")?;
    let mut load = cargo();
    run::run(
        load.args(["build", "--profile", HARNESS, "--package", "injector-tests", "--example", "load"]),
        "mend the errors above",
    )?;
    let mut bench = cargo();
    bench.args(["run", "--quiet", "--profile", HARNESS, "--package", "injector-tests", "--example", "bench", "--"]);
    bench.arg("--out").arg(workspace::target_dir().join("bench"));
    if args.quick {
        bench.arg("--quick");
    }
    if args.record {
        bench.arg("--record").arg(workspace::root().join("docs/src/benchmarks.md"));
    }
    // Takes the place of this process: Ctrl-C then finds the one that cleans up, and the command does not return before
    // it is done.
    let error = bench.args(&args.names).env("INJECTOR_BIN", injector).exec();
    Err(error).context("cargo could not be started to run the benchmarks")
}
