//! `cargo xtask test`: the one command that runs all tests.

use std::{env, ffi::OsString, path::Path};

use anyhow::{Result, ensure};

use crate::{
    cargo::cargo,
    image,
    injector::{self, HARNESS, Static},
    run, say, setup,
};

/// Run all tests: unit tests, and as root the end-to-end tests on this kernel.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also test `--discover aws` against stand-ins of its services (compiles the AWS SDK, which takes minutes and 7 GB
    /// of memory).
    #[arg(long)]
    aws: bool,
    /// Passed to the end-to-end tests: a part of a test's name, or e.g. `--nocapture`.
    #[arg(last = true, value_name = "FILTER")]
    end_to_end: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<()> {
    // They need nothing but Cargo: what the other tests need is installed after them.
    say::info("unit tests");
    run::run(
        cargo()
            .args(["test", "--workspace"])
            .args(["--exclude", "injector-ebpf"])
            .args(["--exclude", "injector-tests"]),
        "mend the tests above",
    )?;
    setup::testing()?;
    say::info("the status page in a browser");
    run::run(
        cargo().args(["test", "--package", "injector", "--test", "page", "--", "--ignored"]),
        "mend the page; `cargo xtask setup` installs chromium",
    )?;
    ensure!(
        rustix::process::geteuid().is_root(),
        "the unit tests passed, but the end-to-end tests need root (they load BPF programs and make network \
         namespaces): run `cargo xtask test` as root"
    );
    if args.aws {
        aws()?;
    }
    injector::install_static_target();
    let injector = injector::build_static(&Static::INJECTOR)?;
    end_to_end(&injector, &image::for_tests(&injector)?, &args.end_to_end)
}

/// One Cargo command: another one with other features would compile the SDK again.
fn aws() -> Result<()> {
    say::info("tests with the feature `aws`");
    run::run(
        cargo().args(["test", "--package", "injector", "--features", "aws", "--lib", "--test", "aws"]),
        "mend the tests above",
    )
}

/// On the very program that ships.
fn end_to_end(injector: &Path, image: &Path, args: &[String]) -> Result<()> {
    say::info("end-to-end tests");
    run::run(
        cargo()
            .args(["test", "--profile", HARNESS, "--package", "injector-tests"])
            // Neither the demo nor what benchmarks measure with.
            .args(["--lib", "--example", "bench", "--test", "e2e", "--"])
            .args(args)
            .env("INJECTOR_BIN", injector)
            .env("INJECTOR_IMAGE", image)
            // Unit tests have built it already.
            .env("INJECTOR_DYNAMIC", injector::build("dev")?)
            .env("RUST_TEST_THREADS", threads()),
        "mend the tests above; `cargo xtask test -- NAME` runs those with NAME in their name",
    )
}

/// More than there are processors: these tests mostly wait for connections to be idle.
fn threads() -> OsString {
    env::var_os("RUST_TEST_THREADS").unwrap_or_else(|| "8".into())
}
