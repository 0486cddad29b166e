//! The systemd unit.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, ensure};

use super::directory;
use crate::run;

/// Highest exposure that `systemd-analyze security` may find, in tenths: below 4.0.
const THRESHOLD: &str = "39";

/// Checks the unit, and how exposed it leaves the service.
pub(super) fn check() -> Result<()> {
    let unit = fs::read_to_string(directory().join("systemd/injector.service")).context("reading the unit")?;
    // The program need not be installed here.
    let command = "ExecStart=/usr/local/bin/injector ";
    ensure!(unit.contains(command), "the unit starts another program than {command:?}");
    let copy = tempfile::tempdir()?;
    let path = copy.path().join("injector.service");
    fs::write(&path, unit.replace(command, "ExecStart=/bin/true "))?;
    run::run(Command::new("systemd-analyze").arg("verify").arg(&path), "mend the unit")?;
    let security = ["security", "--offline=true", "--threshold", THRESHOLD];
    run::output(Command::new("systemd-analyze").args(security).arg(&path), "harden the unit").map(|_| ())
}
