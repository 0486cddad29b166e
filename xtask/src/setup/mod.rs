//! `cargo xtask setup`: installs what building the BPF object, linting and testing need. Each command installs its own part.

use anyhow::Result;

use crate::{
    bpf::{linker::Linker, toolchain::Toolchain},
    injector, say,
};

mod apt;
pub(crate) mod helm;
pub(crate) mod python;
pub(crate) mod tools;

/// A compiler with the sources of `core`, where rustup's nightly has none.
const COMPILER: [&str; 2] = ["rustc-web", "rust-web-src"];
/// What the end-to-end tests and the demo run.
const TESTING: [&str; 22] = [
    "bpftool",
    "chromium",
    "crun",
    "faketime",
    "golang-github-containers-common",
    "haproxy",
    "iproute2",
    "mandoc",
    "mariadb-server-core",
    "nftables",
    "nginx-light",
    "postgresql",
    "procps",
    "prometheus",
    "python3",
    "python3-yaml",
    "redis-server",
    "redis-tools",
    "skopeo",
    "tcpdump",
    "umoci",
    "util-linux",
];
/// What packs the image.
const IMAGE: [&str; 3] = ["buildah", "golang-github-containers-common", "skopeo"];
/// What the benchmarks compare with.
const ALTERNATIVES: [&str; 2] = ["conntrack", "libkeepalive0"];
/// What the kernels are fetched and booted with.
const MACHINES: [&str; 3] = ["busybox-static", "debian-archive-keyring", "qemu-system-x86"];
/// What checking `deploy/` and the dependencies runs.
const LINTING: [&str; 5] = ["prometheus", "python3", "python3-venv", "systemd", "unzip"];

/// Install what building, linting and testing need. Does nothing when all is there.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn run() -> Result<()> {
    testing()?;
    machines()?;
    linting()?;
    bpf()?;
    say::info("all that building, linting and testing need is here");
    Ok(())
}

/// Programs that the end-to-end tests and the demo run.
pub(crate) fn testing() -> Result<()> {
    apt::install("testing", &TESTING.map(str::to_owned))
}

/// What an image is made with.
pub(crate) fn image() -> Result<()> {
    injector::install_static_target();
    apt::install("packing the image", &IMAGE.map(str::to_owned))
}

/// Programs that the benchmarks compare with.
pub(crate) fn benchmarks() -> Result<()> {
    apt::install("benchmarks", &ALTERNATIVES.map(str::to_owned))
}

/// Programs that boot other kernels.
pub(crate) fn machines() -> Result<()> {
    apt::install("booting other kernels", &MACHINES.map(str::to_owned))
}

/// What checks the sources, the dependencies and what `deploy/` ships.
pub(crate) fn linting() -> Result<()> {
    tools::install_components()?;
    tools::install_std(tools::OTHER_TARGET, "`cargo xtask lint` will not check for it");
    deploy()
}

/// Programs that check and render what `deploy/` ships.
pub(crate) fn deploy() -> Result<()> {
    apt::install("checking deploy/ and dependencies", &LINTING.map(str::to_owned))?;
    python::install()?;
    helm::install()
}

/// What compiles libFuzzer.
pub(crate) fn fuzzing() -> Result<()> {
    apt::install("fuzzing", &["g++".to_owned()])
}

/// Compiler and linker for the BPF object.
pub(crate) fn bpf() -> Result<()> {
    if Toolchain::find().is_err() {
        apt::install(
            "building the BPF object (or `rustup toolchain install nightly --component rust-src`)",
            &COMPILER.map(str::to_owned),
        )?;
    }
    let llvm_major = Toolchain::find()?.version.llvm_major;
    if Linker::find(llvm_major).is_err() {
        apt::install("building bpf-linker", &for_bpf_linker(llvm_major))?;
        tools::install_bpf_linker(llvm_major)?;
    }
    Linker::find(llvm_major).map(|_| ())
}

/// Libraries that bpf-linker links, of the compiler's own LLVM major.
fn for_bpf_linker(llvm_major: u32) -> [String; 5] {
    [
        format!("llvm-{llvm_major}-dev"),
        format!("libclang-{llvm_major}-dev"),
        format!("libpolly-{llvm_major}-dev"),
        "zlib1g-dev".to_owned(),
        "libzstd-dev".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llvm_packages_are_those_of_the_compiler() {
        assert_eq!(for_bpf_linker(22)[..3], ["llvm-22-dev", "libclang-22-dev", "libpolly-22-dev"]);
    }
}
