//! What the committed object was built from and with.

use std::{
    fmt::{self, Display, Formatter},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

const DIRECTORY: &str = "injector-ebpf/prebuilt";
const HEADER: &str = "# Written by `cargo xtask ebpf`, checked by `cargo xtask ebpf --check`. Don't edit.\n\n";

/// `injector-ebpf/prebuilt/manifest.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// The same tools build the same bytes.
    pub(crate) tools: Tools,
    /// Digests in hexadecimal.
    pub(crate) sha256: Digests,
}

/// Versions of the tools, as they print them themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tools {
    /// First line of `rustc -vV`.
    pub(crate) rustc: String,
    /// Machine that the compiler runs on: Cargo mixes it into symbol names.
    pub(crate) host: String,
    /// LLVM that the compiler uses.
    pub(crate) llvm: String,
    /// bpf-linker and the LLVM that it uses.
    pub(crate) linker: String,
}

/// Digests of what went in and what came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Digests {
    /// Sources, build profile and third-party crates.
    pub(crate) sources: String,
    /// `injector.bpf.o`.
    pub(crate) object: String,
}

impl Display for Tools {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self { rustc, host, llvm, linker } = self;
        write!(formatter, "{rustc} with LLVM {llvm} for {host}, {linker}")
    }
}

impl Manifest {
    /// The manifest in the workspace.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let path = Self::path(root);
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}: run `cargo xtask ebpf`", path.display()))?;
        Self::parse(&text).with_context(|| format!("{}: run `cargo xtask ebpf`", path.display()))
    }

    /// Writes the object and this manifest beside it.
    pub(crate) fn write(&self, root: &Path, object: &[u8]) -> Result<()> {
        super::write_file(&Self::object_path(root), object)?;
        super::write_file(&Self::path(root), self.to_toml()?.as_bytes())
    }

    /// Where the committed object is.
    pub(crate) fn object_path(root: &Path) -> PathBuf {
        root.join(DIRECTORY).join("injector.bpf.o")
    }

    fn path(root: &Path) -> PathBuf {
        root.join(DIRECTORY).join("manifest.toml")
    }

    fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).context("this is no manifest of a BPF object")
    }

    fn to_toml(&self) -> Result<String> {
        Ok(format!("{HEADER}{}", toml::to_string(self)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            tools: Tools {
                rustc: "rustc 1.96.0 (ac68faa20 2026-05-25)".to_owned(),
                host: "x86_64-unknown-linux-gnu".to_owned(),
                llvm: "22.1.8".to_owned(),
                linker: "bpf-linker 0.13.0 (LLVM 22.1.8)".to_owned(),
            },
            sha256: Digests { sources: "aa".repeat(32), object: "bb".repeat(32) },
        }
    }

    #[test]
    fn is_read_as_it_was_written() {
        let text = manifest().to_toml().unwrap();
        assert_eq!(Manifest::parse(&text).unwrap(), manifest());
    }

    #[test]
    fn refuses_anything_else() {
        let unknown = format!("{}size = 1\n", manifest().to_toml().unwrap());
        for text in ["", "[tools]\n", unknown.as_str()] {
            assert!(Manifest::parse(text).is_err(), "{text:?}");
        }
    }
}
