//! `--discover aws` against a stand-in that speaks real HTTP. Needs root, as the end-to-end tests do.

mod attach;
mod fake;
mod timeouts;

use std::{fs, os::unix::fs::PermissionsExt as _};

use injector_tests::Injector;
use tempfile::TempDir;

use crate::fake::Fake;

/// The binary, as if it ran where `fake` is all there is.
pub(crate) fn injector(fake: &Fake) -> (Injector, TempDir) {
    let directory = tempfile::tempdir().expect("there is room for a temporary directory");
    let script = directory.path().join("injector");
    let environment = fake.environment().join(" ");
    let text = format!("#!/bin/sh\nexec env {environment} {} \"$@\"\n", env!("CARGO_BIN_EXE_injector"));
    fs::write(&script, text).expect("the directory is ours");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("the file is ours");
    (Injector::at(script), directory)
}
