//! Building `injector` itself, for the tests, the demo and the guests.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use crate::{
    bpf::{build::Builder, manifest::Manifest},
    cargo::cargo,
    run, say, workspace,
};

/// The target of this machine, named to Cargo so that flags for it don't apply to build scripts and macros too.
const STATIC_TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds `injector` with a Cargo profile.
pub(crate) fn build(profile: &str) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--package", "injector", "--profile", profile]);
    run::run(with_object(&mut command)?, "mend the errors above")?;
    let directory = if profile == "dev" { "debug" } else { profile };
    Ok(workspace::target_dir().join(directory).join("injector"))
}

/// Builds these programs of `injector` and its tests so that they need no library where they run. Optimised little: they are
/// built anew after each change, and then run for a minute.
pub(crate) fn build_static(programs: &[&str]) -> Result<Vec<PathBuf>> {
    let mut command = cargo();
    command.args(["build", "--release", "--package", "injector", "--package", "injector-tests"]);
    command.args(["--target", STATIC_TARGET]);
    for program in programs {
        command.args(["--bin", program]);
    }
    for setting in [
        &format!("target.{STATIC_TARGET}.rustflags = ['-Ctarget-feature=+crt-static']"),
        "profile.release.lto = false",
        "profile.release.opt-level = 1",
        "profile.release.codegen-units = 16",
    ] {
        command.args(["--config", setting]);
    }
    run::run(with_object(&mut command)?, "mend the errors above")?;
    let directory = workspace::target_dir().join(STATIC_TARGET).join("release");
    Ok(programs.iter().map(|program| directory.join(program)).collect())
}

/// Where the tools here are not those of the committed BPF object, that object could not be checked against the sources, so
/// a fresh one is built.
fn with_object(command: &mut Command) -> Result<&mut Command> {
    let recorded = Manifest::read(&workspace::root())?.tools;
    if Builder::find().is_ok_and(|builder| builder.tools() != recorded) {
        say::info("the committed BPF object was built with other tools: using a fresh build");
        command.env("INJECTOR_EBPF", "build");
    }
    Ok(command)
}
