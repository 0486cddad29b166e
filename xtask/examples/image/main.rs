//! Packs a static binary into an OCI image, without a daemon. `cargo xtask image` builds the binary and runs this.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::Parser;

use crate::{facts::Facts, layer::Layer, layout::Layout};

#[cfg(test)]
mod dockerfile;
mod facts;
mod image;
mod layer;
mod layout;
mod sbom;

/// Where the binary lies in the image.
const BINARY: &str = "usr/local/bin/injector";
/// Where scanners look for what is in an image that has no package manager: anywhere, by the end of the name.
const SBOM: &str = "usr/share/injector/injector.cdx.json";
const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

#[derive(Debug, Parser)]
struct Args {
    /// The static binary.
    #[arg(long)]
    binary: PathBuf,
    /// What it was built for.
    #[arg(long)]
    target: String,
    /// The features it was built with.
    #[arg(long, value_delimiter = ',')]
    features: Vec<String>,
    /// The workspace that it was built from.
    #[arg(long)]
    workspace: PathBuf,
    /// The directory for everything that comes out of this.
    #[arg(long)]
    out: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let metadata = sbom::metadata(&args.workspace, &args.target, &args.features)?;
    let facts = Facts::gather(&args.workspace, &metadata)?;
    let sbom = sbom::write(&metadata, &facts)?;
    let layer = layer(&args, &facts, &sbom)?;
    let written = write(&args.out, &facts, &layer, &sbom)?;
    io::stdout().lock().write_all(written.as_bytes()).context("telling what was written")
}

/// All that is in the image.
fn layer(args: &Args, facts: &Facts, sbom: &[u8]) -> Result<Layer> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("reading {}", path.display()));
    let mut files = vec![(BINARY.to_owned(), 0o755, read(&args.binary)?), (SBOM.to_owned(), 0o644, sbom.to_vec())];
    for licence in LICENCES {
        files.push((format!("usr/share/injector/{licence}"), 0o644, read(&args.workspace.join(licence))?));
    }
    Layer::new(&files, facts.epoch)
}

/// Writes layout, archive and list of components. Returns what to tell.
fn write(out: &Path, facts: &Facts, layer: &Layer, sbom: &[u8]) -> Result<String> {
    let name = format!("injector-{}-linux-{}", facts.version, facts.architecture());
    let path = |end: &str| out.join(format!("{name}{end}"));
    let layout = Layout::create(&path(""))?;
    let manifest = image::write(&layout, facts, layer, &format!("/{BINARY}"))?;
    layout.archive(&path(".oci.tar"), facts.epoch)?;
    fs::write(path(".cdx.json"), sbom).with_context(|| format!("writing {}", path(".cdx.json").display()))?;
    let told = [
        ("image", path(".oci.tar").display().to_string()),
        ("layout", path("").display().to_string()),
        ("sbom", path(".cdx.json").display().to_string()),
        ("digest", manifest.digest().to_string()),
        ("size", format!("{} bytes", layer.compressed.len())),
    ];
    Ok(told.map(|(key, value)| format!("{key:7} {value}\n")).concat())
}
