//! `cargo xtask image`: a container image of the release build, without a daemon.
//!
//! What packs it is an example of this package, so that the other commands don't need the libraries it is built on.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    cargo::cargo,
    injector::{self, Static},
    run, say, workspace,
};

/// Build a minimal OCI image, with one static binary and the list of its components.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Features of injector to build with, e.g. `aws` (which compiles the AWS SDK: 15 minutes and 7 GB of memory).
    #[arg(long, value_delimiter = ',', value_name = "FEATURE")]
    features: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<()> {
    injector::install_static_target();
    let binary = injector::build_static(&Static { features: &args.features, ..Static::INJECTOR })?;
    let directory = workspace::target_dir().join("image");
    let here = format!("{}/", env::current_dir()?.display());
    say::result(pack(&binary, &args.features, &directory)?.replace(&here, ""))?;
    say::info(
        "`skopeo copy oci-archive:FILE docker://REPOSITORY:TAG` pushes it; `podman load` and `docker load` take it",
    );
    Ok(())
}

/// Packs a binary that was built with these features. Returns what came of it, a line each.
pub(crate) fn pack(binary: &Path, features: &[String], directory: &Path) -> Result<String> {
    let mut pack = cargo();
    pack.args(["run", "--quiet", "--package", "xtask", "--example", "image", "--"]);
    pack.arg("--binary").arg(binary).arg("--workspace").arg(workspace::root()).arg("--out").arg(directory);
    pack.args(["--target", injector::static_target()]);
    if !features.is_empty() {
        pack.args(["--features", &features.join(",")]);
    }
    run::output(&mut pack, "mend the errors above")
}

/// Packs a binary for the tests. Returns the image's layout.
pub(crate) fn for_tests(binary: &Path) -> Result<PathBuf> {
    let told = pack(binary, &[], &workspace::target_dir().join("image-test"))?;
    let layout = told.lines().find_map(|line| line.strip_prefix("layout ")).context("no layout was packed")?;
    Ok(layout.trim().into())
}
