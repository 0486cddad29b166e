//! `cargo xtask image`: a container image of the release build, without a daemon.
//!
//! buildah builds `deploy/Dockerfile`. The stage that compiles there is skipped: its files are made here.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    cargo,
    injector::{self, Static},
    run, say,
    setup::{self, tools},
    workspace,
};

/// The image's tag: the packages' version.
const TAG: &str = env!("CARGO_PKG_VERSION");
/// Where the programs that need them look for the image's files, below its root. Scanners of images find a list of
/// components by the end of its name.
const PROGRAM: &str = "usr/local/bin/injector";
const COMPONENTS: &str = "usr/share/injector/injector.cdx.json";
const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

/// Build a minimal OCI image, with one static binary and the list of its components.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Features of injector to build with, e.g. `aws` (which compiles the AWS SDK: 15 minutes and 7 GB of memory).
    #[arg(long, value_delimiter = ',', value_name = "FEATURE")]
    features: Vec<String>,
    /// Only put the files of the image into DIRECTORY, as deploy/Dockerfile does.
    #[arg(long, value_name = "DIRECTORY")]
    files: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<()> {
    injector::install_static_target();
    let binary = injector::build_static(&Static { features: &args.features, ..Static::INJECTOR })?;
    let out = workspace::target_dir().join("image");
    let files = args.files.clone().unwrap_or_else(|| out.join("stage/files"));
    let components = files.join(COMPONENTS);
    lay_out(&binary, &files)?;
    list_components(&args.features, &components)?;
    if args.files.is_some() {
        return Ok(());
    }
    setup::image()?;
    let digest = pack(&out)?;
    let archive = out.join(format!("injector-{TAG}.oci.tar"));
    // skopeo doesn't write over an archive.
    let _ = fs::remove_file(&archive);
    let to = format!("oci-archive:{}:{TAG}", archive.display());
    skopeo(&["copy", "--quiet", &reference(&out), &to])?;
    let here = format!("{}/", env::current_dir()?.display());
    let reported = format!("image   {}\nsbom    {}\ndigest  {digest}\n", archive.display(), components.display());
    say::result(reported.replace(&here, ""))?;
    say::info("`skopeo copy oci-archive:FILE docker://REPOSITORY:TAG` pushes it; `podman load` takes it");
    Ok(())
}

/// Packs a binary for the tests, without the list of components, whose tool has to be compiled. Returns the image's layout.
/// Fails where the same files don't become the same image.
pub(crate) fn for_tests(binary: &Path) -> Result<PathBuf> {
    setup::image()?;
    let out = workspace::target_dir().join("image-test");
    lay_out(binary, &out.join("stage/files"))?;
    let (first, second) = (pack(&out)?, pack(&out)?);
    ensure!(first == second, "the same files became two images: {first} and {second}");
    Ok(layout(&out))
}

/// Makes the files of the image, whatever this user's mask for modes is.
fn lay_out(binary: &Path, files: &Path) -> Result<()> {
    if files.exists() {
        fs::remove_dir_all(files).with_context(|| format!("removing {}", files.display()))?;
    }
    install("755", binary, &files.join(PROGRAM))?;
    let share = files.join(COMPONENTS);
    LICENCES.iter().try_for_each(|name| install("644", &workspace::root().join(name), &share.with_file_name(name)))
}

fn install(mode: &str, from: &Path, to: &Path) -> Result<()> {
    run::run(Command::new("install").args(["-D", "-m", mode]).args([from, to]), "is there room?")
}

/// Lists the crates that are linked into the program, as `CycloneDX` has it.
fn list_components(features: &[String], to: &Path) -> Result<()> {
    let tool = tools::cargo_cyclonedx()?;
    let root = workspace::root();
    let mut list = Command::new(tool);
    list.args(["cyclonedx", "--quiet", "--format", "json", "--spec-version", "1.5", "--describe", "binaries"]);
    list.args(["--no-build-deps", "--target", injector::static_target(), "--features", &features.join(",")]);
    list.arg("--manifest-path").arg(root.join("injector/Cargo.toml"));
    list.env("CARGO", cargo::path()).env("SOURCE_DATE_EPOCH", epoch());
    run::run(&mut list, "mend the manifests")?;
    // It writes beside the manifest of each package that has a program.
    let written = root.join("injector/injector_bin.cdx.json");
    let text = fs::read_to_string(&written).with_context(|| format!("reading {}", written.display()))?;
    for other in ["injector/injector", "injector-ebpf/injector", "tests/guest", "xtask/xtask"] {
        let _ = fs::remove_file(root.join(format!("{other}_bin.cdx.json")));
    }
    // The list does not depend on where it was made.
    let text = text.replace(&format!("path+file://{}/", root.display()), "path+file:///injector/");
    let scratch = tempfile::NamedTempFile::new()?;
    fs::write(scratch.path(), text).context("writing the list of components")?;
    install("644", scratch.path(), to)
}

/// Builds the image from `stage` in `out` into a layout beside it. Returns its digest.
fn pack(out: &Path) -> Result<String> {
    // buildah adds to a layout that is there.
    let _ = fs::remove_dir_all(layout(out));
    let storage = tempfile::tempdir_in(out).context("making a temporary directory")?;
    let mut build = Command::new("buildah");
    build.arg("--root").arg(storage.path().join("root")).arg("--runroot").arg(storage.path().join("run"));
    build.args(["--storage-driver", "vfs", "build", "--quiet", "--isolation", "chroot"]);
    build.args(["--disable-compression=false", "--identity-label=false", "--timestamp", &epoch()]);
    build.arg(format!("--build-arg=REVISION={}", revision()));
    build.arg(format!("--build-context=files={}", out.join("stage").display()));
    build.arg("--tag").arg(reference(out)).arg("--file").arg("deploy/Dockerfile").arg(".");
    run::output(build.current_dir(workspace::root()), "mend deploy/Dockerfile")?;
    Ok(skopeo(&["inspect", "--format", "{{.Digest}}", &reference(out)])?.trim().to_owned())
}

fn skopeo(args: &[&str]) -> Result<String> {
    run::output(Command::new("skopeo").args(args), "check the image: it was built just now")
}

fn reference(out: &Path) -> String {
    format!("oci:{}:{TAG}", layout(out).display())
}

fn layout(out: &Path) -> PathBuf {
    out.join("layout")
}

/// The date of everything in the image, in seconds since 1970: `SOURCE_DATE_EPOCH`
/// (<https://reproducible-builds.org/specs/source-date-epoch/>), else the commit's, else 0.
fn epoch() -> String {
    let given = env::var("SOURCE_DATE_EPOCH").ok();
    given.or_else(|| git(&["show", "--no-patch", "--format=%ct", "HEAD"])).unwrap_or_else(|| "0".to_owned())
}

/// The commit, with `-dirty` where there are changes that it does not have; empty outside of a repository.
fn revision() -> String {
    let changed = git(&["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty());
    let commit = git(&["rev-parse", "HEAD"]).unwrap_or_default();
    if changed { commit + "-dirty" } else { commit }
}

fn git(args: &[&str]) -> Option<String> {
    run::probe(Command::new("git").args(args).current_dir(workspace::root())).map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dockerfile_compiles_with_the_oldest_rust() {
        let dockerfile = fs::read_to_string(workspace::root().join("deploy/Dockerfile")).unwrap();
        let rust = concat!("rust:", env!("CARGO_PKG_RUST_VERSION"), "-alpine AS files");
        assert!(dockerfile.contains(rust), "{rust}");
    }
}
