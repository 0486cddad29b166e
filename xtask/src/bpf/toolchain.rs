//! The Rust toolchain for the BPF object: it has to bring the sources of `core`.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use super::rustc::RustcVersion;
use crate::{cargo, run, workspace};

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// A compiler that can build `core` for the BPF target.
#[derive(Debug)]
pub(crate) struct Toolchain {
    rustc: PathBuf,
    cargo: PathBuf,
    /// Directory of the standard library's sources.
    pub(crate) rust_src: PathBuf,
    /// What the compiler says about itself.
    pub(crate) version: RustcVersion,
    /// A release compiler must be configured to accept `-Z build-std`.
    stable: bool,
}

impl Toolchain {
    /// rustup's nightly when it has `rust-src`, else Debian's compiler with its sources.
    pub(crate) fn find() -> Result<Self> {
        if let Some(found) = Self::rustup_nightly()? {
            return Ok(found);
        }
        if let Some(found) = Self::debian()? {
            return Ok(found);
        }
        bail!(
            "no toolchain here can build `core` for BPF: run `cargo xtask setup`, \
             or `rustup toolchain install nightly --component rust-src`"
        )
    }

    fn rustup_nightly() -> Result<Option<Self>> {
        let sysroot = run::probe(
            clean(Command::new("rustup"))
                .args(["run", "nightly", "rustc", "--print", "sysroot"])
                .env("RUSTUP_AUTO_INSTALL", "0"),
        );
        let Some(sysroot) = sysroot.map(|path| PathBuf::from(path.trim())) else {
            return Ok(None);
        };
        let rustc = sysroot.join("bin/rustc");
        Self::with_sources(&rustc, &sysroot.join("bin/cargo"), &sysroot, false)
    }

    fn debian() -> Result<Option<Self>> {
        let rustc = Path::new(DEBIAN_RUSTC);
        let Some(sysroot) = run::probe(clean(Command::new(rustc)).args(["--print", "sysroot"])) else {
            return Ok(None);
        };
        Self::with_sources(rustc, &cargo::path(), Path::new(sysroot.trim()), true)
    }

    fn with_sources(rustc: &Path, cargo: &Path, sysroot: &Path, stable: bool) -> Result<Option<Self>> {
        let rust_src = sysroot.join("lib/rustlib/src/rust");
        if !rust_src.join("library/core").is_dir() {
            return Ok(None);
        }
        let output = run::output(clean(Command::new(rustc)).arg("-vV"), "check that this compiler works")?;
        Ok(Some(Self {
            rustc: rustc.to_path_buf(),
            cargo: cargo.to_path_buf(),
            rust_src,
            version: RustcVersion::parse(&output)?,
            stable,
        }))
    }

    /// Cargo with this compiler, without what an outer cargo left in the environment.
    pub(crate) fn cargo(&self) -> Command {
        self.with_compiler(&self.cargo)
    }

    /// This compiler's own clippy, if it came with one.
    pub(crate) fn cargo_clippy(&self) -> Option<Command> {
        // Not `cargo clippy`: that may find the one of rustup's default toolchain.
        let path = self.rustc.with_file_name("cargo-clippy");
        path.exists().then(|| {
            let mut command = self.with_compiler(&path);
            command.env("CARGO", &self.cargo).arg("clippy");
            command
        })
    }

    fn with_compiler(&self, program: &Path) -> Command {
        let mut command = clean(Command::new(program));
        command.env("RUSTC", &self.rustc).current_dir(workspace::root());
        if self.stable {
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        command
    }
}

/// Takes away the variables by which an outer cargo, or the user's shell, would change what comes out.
fn clean(mut command: Command) -> Command {
    for (name, _) in env::vars_os().filter(|(name, _)| disturbs(name)) {
        command.env_remove(name);
    }
    command
}

fn disturbs(name: &OsString) -> bool {
    const KEPT: [&str; 6] =
        ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_SOURCE_", "CARGO_TERM_"];
    let name = name.to_string_lossy();
    let kept = KEPT.iter().any(|prefix| name.starts_with(prefix));
    let ours = ["CARGO", "RUSTC", "RUSTDOC", "CLIPPY_"].iter().any(|prefix| name.starts_with(prefix));
    let exact = ["RUSTFLAGS", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH"].contains(&name.as_ref());
    exact || (ours && !kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outer_cargo_leaves_no_trace() {
        for name in [
            "CARGO",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_PROFILE_RELEASE_LTO",
            "LD_LIBRARY_PATH",
            "RUSTC",
            "RUSTC_WRAPPER",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
        ] {
            assert!(disturbs(&name.into()), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_NET_OFFLINE", "PATH", "RUSTUP_HOME", "HOME"] {
            assert!(!disturbs(&name.into()), "{name}");
        }
    }
}
