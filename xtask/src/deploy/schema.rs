//! Strict checks of manifests against the schemas of Kubernetes.

use std::{path::Path, process::Command};

use anyhow::Result;

use crate::{run, setup::python};

const KUBERNETES: [&str; 3] = ["1.32", "1.34", "1.37"];

/// Checks manifests: no key that Kubernetes doesn't know, and no value of another type. Kinds that the tool doesn't come
/// with, such as the Prometheus operator's, are passed over.
pub(super) fn check(manifests: &Path) -> Result<()> {
    KUBERNETES.iter().try_for_each(|version| {
        run::run(
            Command::new(python::program("kubernetes-validate"))
                .args(["--strict", "--quiet", "--no-warn", "--kubernetes-version", version])
                .arg(manifests),
            "mend the chart",
        )
    })
}
