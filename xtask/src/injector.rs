//! Building `injector` itself, for the tests, the demo, the guests and the image.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use crate::{
    bpf::{build::Builder, manifest::Manifest},
    cargo::cargo,
    run, say,
    setup::tools,
    workspace,
};

/// Static by nature, with a C library whose licence lets binaries be given away.
const MUSL: &str =
    if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-musl" } else { "x86_64-unknown-linux-musl" };
/// In its place where there is no standard library for it. Named to Cargo so that flags for it don't apply to build scripts
/// and macros too.
const GNU: &str = if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };

/// The Cargo profile of tests, benchmarks and the guests' lab.
pub(crate) const HARNESS: &str = "harness";

/// A program that needs no library where it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Static<'a> {
    pub(crate) package: &'a str,
    pub(crate) program: &'a str,
    pub(crate) features: &'a [String],
    pub(crate) profile: &'a str,
}

impl Static<'_> {
    /// What ships.
    pub(crate) const INJECTOR: Self =
        Self { package: "injector", program: "injector", features: &[], profile: "release" };
    /// What tries it on a booted kernel.
    pub(crate) const GUEST: Self =
        Self { package: "injector-tests", program: "guest", features: &[], profile: HARNESS };
}

/// Builds `injector` with a Cargo profile.
pub(crate) fn build(profile: &str) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--package", "injector", "--profile", profile]);
    run::run(with_object(&mut command)?, "mend the errors above")?;
    let directory = if profile == "dev" { "debug" } else { profile };
    Ok(workspace::target_dir().join(directory).join("injector"))
}

/// Builds a program so that it needs no library where it runs. The bytes don't depend on where it is built.
pub(crate) fn build_static(program: &Static<'_>) -> Result<PathBuf> {
    let target = static_target();
    let mut command = cargo();
    command.args(["build", "--profile", program.profile, "--target", target]);
    command.args(["--package", program.package, "--bin", program.program]);
    if !program.features.is_empty() {
        command.args(["--features", &program.features.join(",")]);
    }
    let flags = ["-Ctarget-feature=+crt-static".to_owned()].into_iter().chain(remapped());
    let flags: Vec<String> = flags.map(|flag| format!("{flag:?}")).collect();
    command.args(["--config", &format!("target.{target}.rustflags = [{}]", flags.join(", "))]);
    run::run(with_object(&mut command)?, "mend the errors above")?;
    Ok(workspace::target_dir().join(target).join(program.profile).join(program.program))
}

/// What static programs are built for.
pub(crate) fn static_target() -> &'static str {
    if tools::has_std(MUSL) { MUSL } else { GNU }
}

/// Makes [`MUSL`] possible where it can be.
pub(crate) fn install_static_target() {
    tools::install_std(MUSL, "static programs will have glibc in them");
}

/// Directories whose names would otherwise end up in messages of panics.
fn remapped() -> impl Iterator<Item = String> {
    let registries = workspace::registries().into_iter().map(|path| (path, "/registry"));
    let paths = registries.chain([(workspace::root(), "/injector")]);
    paths.map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()))
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
