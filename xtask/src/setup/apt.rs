//! Debian packages.

use std::{path::Path, process::Command};

use anyhow::{Result, bail};

use crate::{run, say};

/// Needs no file of its own on the disk, so that `sudo` runs exactly this text.
const INSTALL: &str = include_str!("apt.sh");

/// Installs those of the packages that are not there yet.
pub(crate) fn install(purpose: &str, packages: &[String]) -> Result<()> {
    let missing: Vec<&str> = packages.iter().map(String::as_str).filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("this machine has no apt: install by hand what Debian calls {} ({purpose})", missing.join(", "));
    }
    say::info(format_args!("{purpose}: apt-get install {}", missing.join(" ")));
    run::run(
        as_root().args(["sh", "-c", INSTALL, "apt"]).args(&missing),
        &format!("{purpose} needs these packages; install them by hand if this machine calls them otherwise"),
    )
}

/// Prefixes a command with what it takes to run it as root.
fn as_root() -> Command {
    Command::new(if rustix::process::geteuid().is_root() { "env" } else { "sudo" })
}

fn is_installed(package: &str) -> bool {
    let query = ["--show", "--showformat", "${db:Status-Status}", package];
    run::probe(Command::new("dpkg-query").args(query)).is_some_and(|status| status == "installed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_a_shell_script() {
        let parsed = Command::new("sh").args(["-n", "-c", INSTALL]).status().unwrap();
        assert!(parsed.success());
    }
}
