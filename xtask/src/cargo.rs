//! The Cargo that builds and checks the host crates.

use std::{env, path::PathBuf, process::Command};

use crate::{run, workspace};

/// The Cargo that runs this command, in the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(path());
    command.current_dir(workspace::root()).env("CARGO_TARGET_DIR", workspace::target_dir());
    command
}

/// The Cargo that runs this command, else the one on the PATH.
pub(crate) fn path() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// Whether this Cargo has a subcommand, e.g. `clippy`.
pub(crate) fn has(subcommand: &str) -> bool {
    run::probe(cargo().args([subcommand, "--version"])).is_some()
}
