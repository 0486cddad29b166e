//! The Helm chart.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};

use super::{directory, schema};
use crate::{run, setup::helm, workspace};

/// Release and namespace of the plain manifest.
const NAME: &str = "injector";

/// What the plain manifest is rendered for.
const KUBERNETES: &str = "1.32.0";
/// Has no field for `AppArmor`.
const OLD_KUBERNETES: &str = "1.29.0";

/// What stands before the rendered manifest. Host directories need the privileged level of Pod Security.
const HEADER: &str = "\
# Rendered from deploy/helm/injector by `cargo xtask deploy`: change the chart, not this file.
#
#   kubectl apply -f injector.yaml
#
# For Kubernetes 1.30 and newer; the chart is for older ones, too.
---
apiVersion: v1
kind: Namespace
metadata:
  name: injector
  labels:
    pod-security.kubernetes.io/enforce: privileged
";

/// The plain manifest.
pub(super) fn manifest() -> Result<String> {
    Ok(HEADER.to_owned() + &render(KUBERNETES, None)?)
}

/// Checks the chart with its own values, and with all that can be switched on.
pub(super) fn lint() -> Result<()> {
    strictly(&[])?;
    for values in ["all.yaml", "privileged.yaml"] {
        let values = workspace::root().join("xtask/helm").join(values);
        strictly(&[Path::new("--values"), &values])?;
        let rendered = tempfile::NamedTempFile::new()?;
        let text = render(KUBERNETES, Some(&values))?;
        let (asks, adopts) = (text.contains("SYS_PTRACE"), text.contains("\n    adopt = true\n"));
        ensure!(
            asks == adopts,
            "{}: adoption has its privileges ({asks}) and its setting ({adopts})",
            values.display()
        );
        std::fs::write(rendered.path(), text)?;
        schema::check(rendered.path())?;
    }
    unconfined_for_old_clusters()
}

fn strictly(values: &[&Path]) -> Result<()> {
    run::run(
        Command::new(helm::program()).args(["lint", "--strict", "--quiet"]).arg(chart()).args(values),
        "mend the chart",
    )
}

/// Each version of Kubernetes is configured in its own way where the agent has no `AppArmor` profile.
fn unconfined_for_old_clusters() -> Result<()> {
    let annotation = "container.apparmor.security.beta.kubernetes.io/injector: unconfined";
    let field = "appArmorProfile:\n              type: Unconfined";
    for (kubernetes, what, other) in [(KUBERNETES, field, annotation), (OLD_KUBERNETES, annotation, field)] {
        let rendered = render(kubernetes, None)?;
        ensure!(rendered.contains(what), "rendered for Kubernetes {kubernetes} the chart lacks {what:?}");
        ensure!(!rendered.contains(other), "rendered for Kubernetes {kubernetes} the chart has {other:?}");
    }
    Ok(())
}

fn chart() -> PathBuf {
    directory().join("helm/injector")
}

/// What the chart renders for a version of Kubernetes, without spaces at the ends of lines.
fn render(kubernetes: &str, values: Option<&PathBuf>) -> Result<String> {
    let mut command = Command::new(helm::program());
    command.args(["template", NAME]).arg(chart()).args(["--namespace", NAME, "--kube-version", kubernetes]);
    if let Some(values) = values {
        command.arg("--values").arg(values);
    }
    let rendered = without_sources(&run::output(&mut command, "mend the chart")?);
    Ok(rendered.lines().map(|line| line.trim_end().to_owned() + "\n").collect())
}

/// Helm says above each manifest which file it comes from.
fn without_sources(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with("# Source: ")).map(|line| line.to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helm_adds_is_dropped() {
        assert_eq!(without_sources("---\n# Source: a/b.yaml\nkind: X\n# a\n"), "---\nkind: X\n# a\n");
    }
}
