//! `cargo xtask ebpf`: builds the BPF object, or checks the committed one.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    bpf::{
        self,
        build::{self, Builder},
        digest,
        manifest::{Digests, Manifest},
    },
    say, setup, workspace,
};

/// Build the BPF object from source and put it into injector-ebpf/prebuilt.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fail when the committed object is not what the sources build.
    #[arg(long, conflicts_with = "out")]
    check: bool,
    /// Only write the object to FILE; leave the committed one alone.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<()> {
    // A build of injector, which asks for a file, installs nothing.
    if args.out.is_none() {
        setup::bpf()?;
    }
    match &args.out {
        _ if args.check => check(),
        Some(path) => {
            bpf::write_file(path, &Builder::find()?.build()?)?;
            say::info(format_args!("wrote {}", path.display()));
            Ok(())
        }
        None => update(),
    }
}

fn update() -> Result<()> {
    let root = workspace::root();
    let builder = Builder::find()?;
    let object = builder.build()?;
    let manifest = Manifest {
        tools: builder.tools(),
        sha256: Digests { sources: digest::of_sources(&root)?, object: digest::of_bytes(&object) },
    };
    manifest.write(&root, &object)?;
    say::info(format_args!(
        "wrote {} ({} bytes) and its manifest",
        Manifest::object_path(&root).display(),
        object.len()
    ));
    Ok(())
}

fn check() -> Result<()> {
    let root = workspace::root();
    let (manifest, committed) = committed(&root)?;
    let builder = Builder::find()?;
    let fresh = builder.build()?;
    let fresh_path = build::target_dir().join("injector.bpf.o");
    bpf::write_file(&fresh_path, &fresh)?;
    let (recorded, here) = (manifest.tools, builder.tools());
    if recorded != here {
        say::info(format_args!(
            "the sources build, but not with the tools of the committed object, so its bytes can't be compared:\n  \
             committed: {recorded}\n  here: {here}\n\
             `cargo xtask test` runs the end-to-end tests on a fresh build"
        ));
        return Ok(());
    }
    ensure!(
        fresh == committed,
        "the committed object is not what the sources build with the same tools (see {}): run `cargo xtask ebpf`",
        fresh_path.display()
    );
    say::info("the committed object is what the sources build, byte for byte");
    Ok(())
}

/// The committed object and its manifest, once they fit each other and the sources.
fn committed(root: &Path) -> Result<(Manifest, Vec<u8>)> {
    let manifest = Manifest::read(root)?;
    let path = Manifest::object_path(root);
    let object = fs::read(&path).with_context(|| format!("reading {}: run `cargo xtask ebpf`", path.display()))?;
    ensure!(
        digest::of_bytes(&object) == manifest.sha256.object,
        "{} is not the object that its manifest describes: run `cargo xtask ebpf`",
        path.display()
    );
    ensure!(
        digest::of_sources(root)? == manifest.sha256.sources,
        "the sources changed since {} was built: run `cargo xtask ebpf`",
        path.display()
    );
    Ok((manifest, object))
}
