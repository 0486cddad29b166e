//! `--discover aws` against a stand-in that speaks real HTTP. Needs root, as the end-to-end tests do.

mod agent;
mod attach;
mod fake;
mod timeouts;

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use injector_tests::{Cgroup, Injector, Keepalive, Peer, Route, Scope, connected};
use tempfile::TempDir;

use crate::fake::Fake;

/// For the first answer, and for the next one after an interval.
pub(crate) const ANSWERED: Duration = Duration::from_secs(30);
/// The first interface has 60 s.
pub(crate) const SIXTY: &str = include_str!("fixtures/interfaces_60.xml");
/// EC2 refuses to report interfaces.
pub(crate) const DENIED: &str = include_str!("fixtures/ec2_denied.xml");
/// What is said of that where something is known.
pub(crate) const REFUSED: &str = "ec2:DescribeNetworkInterfaces: UnauthorizedOperation: You are not authorized to perform \
                                  this operation.; keeping earlier values";

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

/// A configuration file, by its path.
pub(crate) fn configuration(text: &str) -> (String, TempDir) {
    let directory = tempfile::tempdir().expect("there is room for a temporary directory");
    let file = directory.path().join("config.toml");
    fs::write(&file, text).expect("the directory is ours");
    (file.to_string_lossy().into_owned(), directory)
}

/// The keepalive of a fresh connection over the loopback device, which the first interface has an address of.
pub(crate) fn fresh(cgroup: &Cgroup) -> Keepalive {
    let (mut client, mut server) = (Peer::spawn(Scope::cgroup(cgroup)), Peer::spawn(Scope::default()));
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    client.keepalive(&near)
}
