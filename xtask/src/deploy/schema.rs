//! Strict checks against schemas, with Python tools in an environment of their own.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{run, say, workspace};

/// Comes with the schemas of all these versions of Kubernetes.
const TOOL: &str = "kubernetes-validate==1.37.0";
const KUBERNETES: [&str; 3] = ["1.32", "1.34", "1.37"];

/// Installs what is needed, once.
pub(crate) fn install() -> Result<()> {
    if run::probe(Command::new(program("kubernetes-validate")).arg("--version")).is_some() {
        return Ok(());
    }
    say::info(format_args!("installing {TOOL}"));
    let cure = "PyPI must be in reach, and Python's venv be there (Debian: python3-venv)";
    run::run(Command::new("python3").args(["-m", "venv"]).arg(environment()), cure)?;
    run::run(Command::new(program("pip")).args(["install", "--quiet", TOOL]), cure)
}

/// Checks manifests: no key that Kubernetes doesn't know, and no value of another type. Kinds that it doesn't come with,
/// such as the Prometheus operator's, are passed over.
pub(super) fn check(manifests: &Path) -> Result<()> {
    KUBERNETES.iter().try_for_each(|version| {
        run::run(
            Command::new(program("kubernetes-validate"))
                .args(["--strict", "--quiet", "--no-warn", "--kubernetes-version", version])
                .arg(manifests),
            "mend the chart",
        )
    })
}

/// Checks a file of values against the chart's schema, as helm does.
pub(super) fn check_values(values: &Path, schema: &Path) -> Result<()> {
    let script = workspace::root().join("xtask/helm/values.py");
    run::run(Command::new(program("python3")).arg(script).args([values, schema]), "mend the values or their schema")
}

fn program(name: &str) -> PathBuf {
    environment().join("bin").join(name)
}

fn environment() -> PathBuf {
    workspace::tools_dir().join("kubernetes-validate")
}
