//! Building the BPF object: toolchain, linker, build, strip, and the record of all that.

pub(crate) mod build;
pub(crate) mod digest;
pub(crate) mod linker;
mod lockfile;
pub(crate) mod manifest;
pub(crate) mod rustc;
pub(crate) mod strip;
pub(crate) mod toolchain;

use std::{fs, io::Write as _, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::{Context as _, Result};

/// Writes a file in one step: a build that runs beside this one never reads half of it.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> Result<()> {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        let mut file = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o644)).tempfile_in(dir)?;
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("writing {}", path.display()))
}
