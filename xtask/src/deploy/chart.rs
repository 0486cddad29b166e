//! The Helm chart.
//!
//! Where there is no helm, `xtask/helm/render.go` renders in its place, with the same template engine. What only helm
//! can do is left out then, and said so.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use super::{directory, schema};
use crate::{run, say, workspace};

/// Release and namespace of the plain manifest.
const NAME: &str = "injector";

/// What stands before the rendered manifest. Host directories need the privileged level of Pod Security.
const HEADER: &str = "\
# Rendered from deploy/helm/injector by `cargo xtask deploy`: change the chart, not this file.
#
#   kubectl apply -f injector.yaml
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
    Ok(HEADER.to_owned() + &render(None)?)
}

/// Checks the chart with its own values, and with all that can be switched on.
pub(super) fn lint() -> Result<()> {
    schema::check_values(&chart().join("values.yaml"), &chart().join("values.schema.json"))?;
    for values in ["all.yaml", "privileged.yaml"] {
        let values = workspace::root().join("xtask/helm").join(values);
        schema::check_values(&values, &chart().join("values.schema.json"))?;
        let rendered = tempfile::NamedTempFile::new()?;
        std::fs::write(rendered.path(), render(Some(&values))?)?;
        schema::check(rendered.path())?;
    }
    if has_helm() {
        return run::run(Command::new("helm").args(["lint", "--strict"]).arg(chart()), "mend the chart");
    }
    say::info("no helm here: `helm lint` was not run");
    Ok(())
}

fn chart() -> PathBuf {
    directory().join("helm/injector")
}

/// What the chart renders, without spaces at the ends of lines.
fn render(values: Option<&PathBuf>) -> Result<String> {
    let rendered = if has_helm() { with_helm(values) } else { with_go(values) }?;
    Ok(rendered.lines().map(|line| line.trim_end().to_owned() + "\n").collect())
}

fn with_helm(values: Option<&PathBuf>) -> Result<String> {
    let mut command = Command::new("helm");
    command.args(["template", NAME]).arg(chart()).args(["--namespace", NAME]);
    if let Some(values) = values {
        command.arg("--values").arg(values);
    }
    run::output(&mut command, "mend the chart").map(|text| without_sources(&text))
}

fn with_go(values: Option<&PathBuf>) -> Result<String> {
    let program = workspace::root().join("xtask/helm/render.go");
    let mut command = Command::new("go");
    // The libraries are Debian's, which are no modules.
    command.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode").env("GOFLAGS", "").arg("run").arg(program);
    command.arg(chart()).args([NAME, NAME]).args(values);
    run::output(&mut command, "mend the chart, or run `cargo xtask setup`")
}

/// Whether helm is there.
pub(crate) fn has_helm() -> bool {
    run::probe(Command::new("helm").arg("version")).is_some()
}

/// Helm says above each manifest which file it comes from.
fn without_sources(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with("# Source: ")).map(|line| line.to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helm_adds_is_left_out() {
        assert_eq!(without_sources("---\n# Source: a/b.yaml\nkind: X\n# a\n"), "---\nkind: X\n# a\n");
    }
}
