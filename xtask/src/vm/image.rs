//! The guests' file system: `injector`, what tries it, and busybox.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Command,
};

use anyhow::{Context as _, Result};

use super::kernels;
use crate::{
    injector::{self, Static},
    run,
};

const INIT: &str = include_str!("init.sh");
const BUSYBOX: &str = "/bin/busybox";

/// Builds the programs, and packs them into an initramfs.
pub(super) fn build() -> Result<PathBuf> {
    let programs = [Static::INJECTOR, Static::GUEST].iter().map(injector::build_static).collect::<Result<Vec<_>>>()?;
    let root = tempfile::tempdir().context("making a temporary directory")?;
    fs::create_dir(root.path().join("bin")).context("making a directory in it")?;
    let mut files = vec!["bin".to_owned(), "init".to_owned()];
    for program in programs.into_iter().chain([PathBuf::from(BUSYBOX)]) {
        let name = program.file_name().context("a program has a name")?.to_string_lossy();
        let file = format!("bin/{name}");
        fs::copy(&program, root.path().join(&file)).with_context(|| format!("copying {}", program.display()))?;
        files.push(file);
    }
    let init = root.path().join("init");
    fs::write(&init, INIT)
        .and_then(|()| fs::set_permissions(&init, Permissions::from_mode(0o755)))
        .context("writing init")?;

    let list = root.path().join("list");
    fs::write(&list, files.join("\n") + "\n").context("writing the list of files")?;
    let path = kernels::directory().join("initramfs.cpio");
    let output = File::create(&path).with_context(|| format!("making {}", path.display()))?;
    let mut pack = Command::new(BUSYBOX);
    pack.args(["cpio", "-o", "-H", "newc", "-R", "0:0"]).current_dir(root.path());
    pack.stdin(File::open(&list).context("reading the list of files")?).stdout(output);
    run::run(&mut pack, "Debian's busybox-static has this applet")?;
    Ok(path)
}
