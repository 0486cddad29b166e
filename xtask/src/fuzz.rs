//! `cargo xtask fuzz`: libFuzzer on every parser of bytes that others wrote.
//!
//! Any compiler will do: coverage is among its stable options. Sanitizers are not, and would look for mistakes in
//! `unsafe` code, of which there is none in what is fuzzed. The package in `tests/fuzz` is laid out for cargo-fuzz
//! nevertheless.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use crate::{bpf::rustc::RustcVersion, cargo::cargo, run, say, setup, workspace};

/// As cargo-fuzz has them: count how often each branch is taken, and show libFuzzer what is compared with what.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                        -Cllvm-args=-sanitizer-coverage-trace-compares";
/// One input may take so many seconds, which is for ever, even where the machine is busy with other things;
const INPUT_SECONDS: u32 = 30;
/// and it may have so many bytes.
const MAX_LENGTH: u32 = 8192;

/// Fuzz the parsers of bytes that others wrote.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these targets, e.g. `config`.
    targets: Vec<String>,
    /// How long each of them runs.
    #[arg(long, default_value_t = 120)]
    seconds: u32,
}

/// What of the package's manifest is of interest.
#[derive(Deserialize)]
struct Manifest {
    bin: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let package = workspace::root().join("tests/fuzz");
    let chosen = chosen(&args.targets, targets(&package)?)?;
    setup::fuzzing()?;
    let programs = build(&package)?;
    let failed: Vec<_> = chosen
        .iter()
        .map(|target| Ok((target, fuzz(&package, &programs, target, args.seconds)?)))
        .filter_map(|result: Result<_>| result.map(|(target, survived)| (!survived).then_some(target)).transpose())
        .collect::<Result<_>>()?;
    ensure!(failed.is_empty(), "not survived by {failed:?}: the inputs are named above");
    Ok(())
}

fn targets(package: &Path) -> Result<Vec<String>> {
    let path = package.join("Cargo.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let manifest: Manifest = toml::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
    Ok(manifest.bin.into_iter().map(|target| target.name).collect())
}

/// All where none is named.
fn chosen(named: &[String], all: Vec<String>) -> Result<Vec<String>> {
    if let Some(unknown) = named.iter().find(|name| !all.contains(name)) {
        bail!("there is no target {unknown:?}: there are {}", all.join(", "));
    }
    Ok(if named.is_empty() { all } else { named.to_vec() })
}

/// Builds all targets with the dependencies that ship, and returns the directory that they are in.
fn build(package: &Path) -> Result<PathBuf> {
    say::info("building the fuzz targets");
    let root = workspace::root();
    fs::copy(root.join("Cargo.lock"), package.join("Cargo.lock")).context("copying Cargo.lock")?;
    let version = run::output(Command::new("rustc").arg("-vV"), "check that this compiler works")?;
    let host = RustcVersion::parse(&version)?.host;
    let directory = directory();
    let mut command = cargo();
    command.args(["build", "--release", "--bins", "--target", &host]).arg("--manifest-path");
    command.arg(package.join("Cargo.toml")).arg("--target-dir").arg(directory.join("build")).env("RUSTFLAGS", COVERAGE);
    run::run(&mut command, "mend the errors above")?;
    Ok(directory.join("build").join(host).join("release"))
}

/// Runs a target, and returns whether it survived all inputs.
fn fuzz(package: &Path, programs: &Path, target: &str, seconds: u32) -> Result<bool> {
    let found = directory().join("corpus").join(target);
    let artifacts = directory().join("artifacts").join(target);
    for directory in [&found, &artifacts] {
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    }
    let log = directory().join(format!("{target}.log"));
    let output = File::create(&log).with_context(|| format!("making {}", log.display()))?;
    let mut command = Command::new(programs.join(target));
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-timeout={INPUT_SECONDS}"));
    command.arg(format!("-max_len={MAX_LENGTH}")).arg(format!("-artifact_prefix={}/", artifacts.display()));
    let dictionary = package.join("dictionaries").join(format!("{target}.dict"));
    if dictionary.exists() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    // What is new goes into the first of them.
    command.arg(&found).arg(package.join("corpus").join(target)).stderr(output);
    let status = command.status().with_context(|| format!("starting {target}"))?;
    let text = fs::read(&log).with_context(|| format!("reading {}", log.display()))?;
    let text = String::from_utf8_lossy(&text);
    say::info(format_args!("{target}: {}", summary(&text)));
    if !status.success() {
        let panic = text.lines().find(|line| line.contains("panicked")).unwrap_or("no panic: see the log");
        say::info(format_args!("{target}: {panic}\n  input: {}\n  log:   {}", artifact(&text), log.display()));
        say::info(format_args!("mend it, and move the input into {}", package.join("corpus").join(target).display()));
    }
    Ok(status.success())
}

/// What libFuzzer says last of what it did: `#1024 DONE cov: 10 ft: 20 corp: 3/9b ...`.
fn summary(log: &str) -> &str {
    let is_progress =
        |line: &&str| line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    log.lines().rfind(is_progress).unwrap_or("did nothing")
}

/// `Test unit written to PATH`.
fn artifact(log: &str) -> &str {
    log.lines().find_map(|line| line.split_once("Test unit written to ")).map_or("none", |(_, path)| path)
}

/// What fuzzing makes: programs, inputs that it found, logs.
fn directory() -> PathBuf {
    workspace::target_dir().join("fuzz")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "INFO: Seed: 1\n#2\tINITED cov: 3 ft: 3\n#16\tNEW cov: 4\n###### Dictionary. ######\nthread 'x' panicked at a.rs:1:2:\n\
                       artifact_prefix='/t/'; Test unit written to /t/crash-00\nBase64: AA==\n";

    #[test]
    fn a_log_is_read() {
        assert_eq!((summary(LOG), artifact(LOG)), ("#16\tNEW cov: 4", "/t/crash-00"));
        assert_eq!((summary(""), artifact("")), ("did nothing", "none"));
    }

    #[test]
    fn targets_are_chosen() {
        let all = || vec!["btf".to_owned(), "config".to_owned()];
        assert_eq!(chosen(&[], all()).unwrap(), all());
        assert_eq!(chosen(&["btf".to_owned()], all()).unwrap(), ["btf"]);
        assert!(chosen(&["elf".to_owned()], all()).unwrap_err().to_string().contains("btf, config"));
    }

    /// Each target has its program, its inputs, and a place in the table of those that are replayed.
    #[test]
    fn targets_are_whole() {
        let package = workspace::root().join("tests/fuzz");
        let table = fs::read_to_string(package.join("targets/src/lib.rs")).unwrap();
        for target in targets(&package).unwrap() {
            assert!(table.contains(&format!("(\"{target}\", {target})")), "{target}");
            assert!(package.join("corpus").join(&target).is_dir(), "{target}");
            assert!(package.join("fuzz_targets").join(format!("{target}.rs")).is_file(), "{target}");
        }
    }
}
