//! Tools that Cargo and rustup install.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::{bpf::linker, cargo, run, say, workspace};

/// The machine that is served beside this one, or is this one.
pub(crate) const OTHER_TARGET: &str = "aarch64-unknown-linux-gnu";

/// Installs a bpf-linker that uses Debian's LLVM of this major.
pub(crate) fn install_bpf_linker(llvm_major: u32) -> Result<()> {
    say::info(format_args!("installing bpf-linker {} for LLVM {llvm_major}", linker::VERSION));
    run::run(
        install("bpf-linker", linker::VERSION)
            .args(["--no-default-features", "--features"])
            .arg(format!("llvm-{llvm_major}"))
            .arg("--root")
            .arg(linker::install_root(llvm_major))
            .env("LLVM_PREFIX", linker::llvm_prefix(llvm_major)),
        "crates.io must be in reach, and bpf-linker must support this LLVM",
    )
}

/// Writes lists of components.
const CYCLONEDX_VERSION: &str = "0.5.9";

/// cargo-cyclonedx, which is installed where it is not there yet.
pub(crate) fn cargo_cyclonedx() -> Result<PathBuf> {
    let root = workspace::tools_dir().join(format!("cargo-cyclonedx-{CYCLONEDX_VERSION}"));
    let program = root.join("bin/cargo-cyclonedx");
    if !program.exists() {
        say::info(format_args!("installing cargo-cyclonedx {CYCLONEDX_VERSION}"));
        // Not optimised: it runs for a second, and compiles in a third of the time.
        let mut install = install("cargo-cyclonedx", CYCLONEDX_VERSION);
        run::run(install.arg("--debug").arg("--root").arg(root), "crates.io must be in reach")?;
    }
    Ok(program)
}

/// Adds rustfmt and clippy to the toolchain in use.
pub(crate) fn install_components() -> Result<()> {
    let missing: Vec<&str> = [("fmt", "rustfmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(subcommand, _)| !cargo::has(subcommand))
        .map(|(_, component)| component)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if run::probe(Command::new("rustup").arg("--version")).is_none() {
        bail!("this toolchain lacks {}, and there is no rustup to add them", missing.join(" and "));
    }
    say::info(format_args!("rustup component add {}", missing.join(" ")));
    run::run(Command::new("rustup").args(["component", "add"]).args(&missing), "static.rust-lang.org must be in reach")
}

/// Whether there is a standard library for `target`.
pub(crate) fn has_std(target: &str) -> bool {
    let libdir = run::probe(Command::new("rustc").args(["--print", "target-libdir", "--target", target]));
    libdir.is_some_and(|path| Path::new(path.trim_end()).is_dir())
}

/// Adds the standard library for `target`. Where it can't be had, says what that means.
pub(crate) fn install_std(target: &str, without: &str) {
    if !has_std(target) && run::probe(Command::new("rustup").args(["target", "add", target])).is_none() {
        say::info(format_args!("`rustup target add {target}` failed: {without}"));
    }
}

fn install(package: &str, version: &str) -> Command {
    let mut command = Command::new(cargo::path());
    command.args(["install", package, "--version", version, "--locked", "--quiet"]);
    command
}
