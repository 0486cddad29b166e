//! `cargo xtask demo`: two idle clients behind a middlebox that drops idle connections. One is in an attached cgroup.
//!
//! The story itself is an example of `injector-tests`, so that the other commands don't need the lab it is built on.

use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result, ensure};

use crate::{cargo::cargo, injector, setup};

/// Show two idle clients behind a middlebox that drops idle connections: one dies, one lives (as root, 20 s).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn run() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "the demo needs root (it loads BPF programs and makes network namespaces): run `cargo xtask demo` as root"
    );
    setup::testing()?;
    let injector = injector::build("dev")?;
    // Takes the place of this process: Ctrl-C then finds the one that cleans up, and the command does not return before
    // it is done.
    let error = cargo()
        .args(["run", "--quiet", "--package", "injector-tests", "--example", "demo"])
        .env("INJECTOR_BIN", injector)
        .exec();
    Err(error).context("cargo could not be started to run the demo")
}
