//! What Cargo.lock pins for one package.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Lockfile {
    package: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    /// Absent for the packages of the workspace.
    source: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

/// `name version` of every third-party crate that `package` depends on, however indirectly.
pub(crate) fn dependencies(lock: &str, package: &str) -> Result<BTreeSet<String>> {
    let lockfile: Lockfile = toml::from_str(lock).context("reading Cargo.lock")?;
    let packages = by_reference(&lockfile);
    let mut seen = BTreeSet::new();
    let mut open = vec![package];
    while let Some(reference) = open.pop() {
        if !seen.insert(reference) {
            continue;
        }
        let package = packages.get(reference).with_context(|| format!("Cargo.lock has no package `{reference}`"))?;
        open.extend(package.dependencies.iter().map(String::as_str));
    }
    Ok(seen
        .into_iter()
        .filter_map(|reference| packages.get(reference))
        .filter(|package| package.source.is_some())
        .map(|package| format!("{} {}", package.name, package.version))
        .collect())
}

/// Dependencies are written as `name`, `name version` or `name version (source)`, as short as is unambiguous.
fn by_reference(lockfile: &Lockfile) -> BTreeMap<String, &Package> {
    let mut packages = BTreeMap::new();
    for package in &lockfile.package {
        let Package { name, version, source, .. } = package;
        packages.insert(name.clone(), package);
        packages.insert(format!("{name} {version}"), package);
        if let Some(source) = source {
            packages.insert(format!("{name} {version} ({source})"), package);
        }
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
        version = 4
        [[package]]
        name = "app"
        version = "0.1.0"
        dependencies = ["shared", "syn 2.0.0"]
        [[package]]
        name = "other"
        version = "0.1.0"
        dependencies = ["syn 1.0.0"]
        [[package]]
        name = "shared"
        version = "0.1.0"
        dependencies = ["app-macros"]
        [[package]]
        name = "app-macros"
        version = "3.0.0"
        source = "registry+https://example.org/index"
        dependencies = ["syn 2.0.0"]
        [[package]]
        name = "syn"
        version = "1.0.0"
        source = "registry+https://example.org/index"
        [[package]]
        name = "syn"
        version = "2.0.0"
        source = "registry+https://example.org/index"
    "#;

    #[test]
    fn follows_the_graph_and_leaves_the_workspace_out() {
        let crates = dependencies(LOCK, "app").unwrap();
        assert_eq!(Vec::from_iter(crates), ["app-macros 3.0.0", "syn 2.0.0"]);
    }

    #[test]
    fn names_a_package_that_is_not_there() {
        let message = dependencies(LOCK, "absent").unwrap_err().to_string();
        assert!(message.contains("no package `absent`"), "{message}");
    }
}
