//! From the sources of `injector-ebpf` to the bytes of the object.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{linker::Linker, manifest::Tools, strip, toolchain::Toolchain};
use crate::{run, say, workspace};

/// Little-endian, as the machines that injector runs on.
pub(crate) const TARGET: &str = "bpfel-unknown-none";
const PROFILE: &str = "bpf";
const PACKAGE: &str = "injector-ebpf";
const BINARY: &str = "injector";

/// Compiler and linker that fit each other.
#[derive(Debug)]
pub(crate) struct Builder {
    toolchain: Toolchain,
    linker: Linker,
}

impl Builder {
    /// The tools on this machine.
    pub(crate) fn find() -> Result<Self> {
        let toolchain = Toolchain::find()?;
        let linker = Linker::find(toolchain.version.llvm_major)?;
        Ok(Self { toolchain, linker })
    }

    /// What goes into the manifest about the tools.
    pub(crate) fn tools(&self) -> Tools {
        Tools {
            rustc: self.toolchain.version.line.clone(),
            host: self.toolchain.version.host.clone(),
            llvm: self.toolchain.version.llvm.clone(),
            linker: self.linker.version.clone(),
        }
    }

    /// Builds the object and returns its bytes without debug sections.
    pub(crate) fn build(&self) -> Result<Vec<u8>> {
        say::info(format_args!("building {PACKAGE} with {} and {}", self.toolchain.version.line, self.linker.version));
        let root = workspace::root();
        self.fetch()?;
        let target_dir = target_dir();
        run::run(
            self.toolchain
                .cargo()
                .args(["build", "--locked", "-Z", "build-std=core"])
                .args(["--package", PACKAGE, "--target", TARGET, "--profile", PROFILE])
                .arg("--target-dir")
                .arg(&target_dir)
                .env("CARGO_ENCODED_RUSTFLAGS", self.rustflags(&root)?)
                // Else aya-ebpf takes the host's; one object serves all hosts.
                .env("AYA_BPF_TARGET_ARCH", "x86_64"),
            "mend the errors above; missing tools come with `cargo xtask setup`",
        )?;
        let path = target_dir.join(TARGET).join(PROFILE).join(BINARY);
        let object = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        strip::debug_sections(&object).with_context(|| format!("stripping the debug sections of {}", path.display()))
    }

    /// Unpacks the registry sources first: only then are the directories known that `rustflags` hides.
    fn fetch(&self) -> Result<()> {
        run::run(
            self.toolchain.cargo().args(["fetch", "--locked", "--quiet", "--target", TARGET]),
            "Cargo.lock must be up to date and the registry in reach",
        )
    }

    fn rustflags(&self, root: &Path) -> Result<OsString> {
        let mut flags: Vec<OsString> = vec!["-Cdebuginfo=2".into(), "-Clink-arg=--btf".into()];
        let mut linker = OsString::from("-Clinker=");
        linker.push(&self.linker.path);
        flags.push(linker);
        flags.extend(self.remapped(root)?.into_iter().map(|(from, to)| {
            let mut flag = OsString::from("--remap-path-prefix=");
            flag.push(from);
            flag.push(format!("={to}"));
            flag
        }));
        Ok(flags.join(&OsString::from("\u{1f}")))
    }

    /// Directories whose names would otherwise end up in BTF and panic locations.
    fn remapped(&self, root: &Path) -> Result<Vec<(PathBuf, &'static str)>> {
        let mut paths = vec![(root.to_path_buf(), "/injector"), (self.toolchain.rust_src.clone(), "/rust")];
        // Debian's is a symbolic link.
        paths.push((self.toolchain.rust_src.canonicalize()?, "/rust"));
        paths.extend(workspace::registries().into_iter().map(|path| (path, "/registry")));
        Ok(paths)
    }
}

/// Cargo's target directory for BPF: apart from the host's, so that neither waits for or spoils the other.
pub(crate) fn target_dir() -> PathBuf {
    workspace::root().join("target/bpf")
}
