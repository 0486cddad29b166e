//! bpf-linker: which one to use, and which LLVM it works with.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{run, workspace};

/// The bpf-linker release that the object is built with.
pub(crate) const VERSION: &str = "0.13.0";

/// A bpf-linker that understands the bitcode of the compiler in use.
#[derive(Debug)]
pub(crate) struct Linker {
    /// The executable.
    pub(crate) path: PathBuf,
    /// Its version and its LLVM's, e.g. `bpf-linker 0.13.0 (LLVM 22.1.8)`.
    pub(crate) version: String,
}

impl Linker {
    /// The workspace's own bpf-linker, else one on the PATH with the same LLVM major.
    pub(crate) fn find(llvm_major: u32) -> Result<Self> {
        let own = install_root(llvm_major).join("bin/bpf-linker");
        let path = env::var_os("PATH").unwrap_or_default();
        let others = env::split_paths(&path).map(|dir| dir.join("bpf-linker"));
        std::iter::once(own)
            .chain(others)
            .find_map(|path| Self::at(&path, llvm_major))
            .with_context(|| format!("no bpf-linker {VERSION} for LLVM {llvm_major} here: run `cargo xtask setup`"))
    }

    fn at(path: &Path, llvm_major: u32) -> Option<Self> {
        let name = format!("bpf-linker {VERSION}");
        let version = run::probe(Command::new(path).arg("--version"))?;
        if version.trim() != name || !links_llvm(&fs::read(path).ok()?, llvm_major) {
            return None;
        }
        // The linker's own LLVM generates the code, so it belongs in the record.
        let llvm = llvm_version(llvm_major).unwrap_or_else(|| llvm_major.to_string());
        Some(Self { path: path.to_path_buf(), version: format!("{name} (LLVM {llvm})") })
    }
}

/// Where `cargo xtask setup` installs bpf-linker for this LLVM.
pub(crate) fn install_root(llvm_major: u32) -> PathBuf {
    workspace::tools_dir().join(format!("llvm-{llvm_major}"))
}

/// Where Debian's packages put this LLVM.
pub(crate) fn llvm_prefix(llvm_major: u32) -> PathBuf {
    PathBuf::from(format!("/usr/lib/llvm-{llvm_major}"))
}

fn llvm_version(llvm_major: u32) -> Option<String> {
    let config = llvm_prefix(llvm_major).join("bin/llvm-config");
    run::probe(Command::new(config).arg("--version")).map(|version| version.trim().to_owned())
}

/// Whether an executable is linked with the shared LLVM of this major (bpf-linker does not print it).
fn links_llvm(executable: &[u8], major: u32) -> bool {
    let library = format!("libLLVM.so.{major}.");
    executable.windows(library.len()).any(|window| window == library.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_llvm_by_the_library_it_needs() {
        let executable = b"\x7fELF..libLLVM.so.22.1\0libc.so.6\0";
        assert!(links_llvm(executable, 22));
        assert!(!links_llvm(executable, 2));
        assert!(!links_llvm(executable, 21));
    }
}
