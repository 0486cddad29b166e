//! Tools that Cargo and rustup install.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{bpf::linker, cargo, run, say, workspace};

const DENY_VERSION: &str = "0.20.2";

/// The machine that is served beside this one, or is this one.
pub(crate) const OTHER_TARGET: &str = "aarch64-unknown-linux-gnu";

/// cargo-deny: the workspace's own, else one on the PATH that is no older.
pub(crate) fn cargo_deny() -> Option<PathBuf> {
    let own = deny_root().join("bin/cargo-deny");
    let path = env::var_os("PATH").unwrap_or_default();
    let others = env::split_paths(&path).map(|dir| dir.join("cargo-deny"));
    std::iter::once(own).chain(others).find(|path| {
        run::probe(Command::new(path).arg("--version")).is_some_and(|output| is_at_least(&output, DENY_VERSION))
    })
}

/// Installs cargo-deny for this workspace.
pub(crate) fn install_cargo_deny() -> Result<()> {
    say::info(format_args!("installing cargo-deny {DENY_VERSION}"));
    run::run(install("cargo-deny", DENY_VERSION).arg("--root").arg(deny_root()), "crates.io must be in reach")
}

/// Installs a bpf-linker for this workspace that uses Debian's LLVM of this major.
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

fn deny_root() -> PathBuf {
    workspace::tools_dir().join("cargo-deny")
}

/// Whether the output of `--version` tells this version or a later one.
fn is_at_least(output: &str, version: &str) -> bool {
    let found = output.split_whitespace().nth(1).map(numbers);
    found.and_then(Result::ok) >= numbers(version).ok()
}

fn numbers(version: &str) -> Result<Vec<u32>> {
    version.split('.').map(|part| part.parse().with_context(|| format!("version {version}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_their_numbers() {
        for (output, enough) in [
            ("cargo-deny 0.20.2\n", true),
            ("cargo-deny 0.20.10\n", true),
            ("cargo-deny 1.0.0\n", true),
            ("cargo-deny 0.20.1\n", false),
            ("cargo-deny 0.9.9\n", false),
            ("cargo-deny\n", false),
            ("cargo-deny nightly\n", false),
        ] {
            assert_eq!(is_at_least(output, "0.20.2"), enough, "{output}");
        }
    }
}
