//! Building `injector` itself, for the tests and the demo.

use std::path::PathBuf;

use anyhow::Result;

use crate::{
    bpf::{build::Builder, manifest::Manifest},
    cargo::cargo,
    run, say, workspace,
};

/// Builds `injector` with a Cargo profile. Where the tools here are not those of the committed BPF object, that object
/// could not be checked against the sources, so a fresh one is built.
pub(crate) fn build(profile: &str) -> Result<PathBuf> {
    let recorded = Manifest::read(&workspace::root())?.tools;
    let mut command = cargo();
    command.args(["build", "--package", "injector", "--profile", profile]);
    if Builder::find().is_ok_and(|builder| builder.tools() != recorded) {
        say::info("the committed BPF object was built with other tools: using a fresh build");
        command.env("INJECTOR_EBPF", "build");
    }
    run::run(&mut command, "mend the errors above")?;
    let directory = if profile == "dev" { "debug" } else { profile };
    Ok(workspace::target_dir().join(directory).join("injector"))
}
