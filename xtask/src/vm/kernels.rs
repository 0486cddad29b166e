//! Which kernels are tried, and where their images come from.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use tempfile::NamedTempFile;

use super::archive::Archive;
use crate::{run, say, workspace};

/// A kernel to try.
#[derive(Debug)]
pub(super) struct Kernel {
    /// What it is called on the command line.
    pub(super) name: &'static str,
    /// Debian's suite that has it.
    pub(super) suite: &'static str,
    /// Features that it can't offer, each with the reason. `injector doctor` has to name the lack there.
    pub(super) lacks: &'static [(&'static str, &'static str)],
}

/// The oldest that works, those of Debian's releases since, and the newest.
pub(super) const KERNELS: [Kernel; 4] = [
    Kernel {
        name: "5.10",
        suite: "bullseye",
        lacks: &[("packets", "needs Linux 5.11, where iterators got access to socket storage")],
    },
    Kernel { name: "6.1", suite: "bookworm", lacks: &[] },
    Kernel { name: "6.12", suite: "trixie", lacks: &[] },
    Kernel { name: "newest", suite: "sid", lacks: &[] },
];

/// What is made here.
pub(super) fn directory() -> PathBuf {
    workspace::root().join("target/vm")
}

/// Where images are kept for all checkouts, some 50 MB in all.
fn cache() -> PathBuf {
    workspace::cache_dir().join("kernels")
}

/// The kernel's image, as fetched before or, with `refresh`, now.
pub(super) fn image(kernel: &Kernel, refresh: bool) -> Result<PathBuf> {
    let image = cache().join(kernel.suite).join("vmlinuz");
    if image.is_file() && !refresh {
        return Ok(image);
    }
    say::info(format_args!("fetching kernel {} of Debian {}", kernel.name, kernel.suite));
    fetch(kernel.suite, &image).with_context(|| cure(kernel, &image))?;
    Ok(image)
}

/// For where Debian can't be reached, or no longer has the suite.
fn cure(kernel: &Kernel, image: &Path) -> String {
    let others: Vec<_> = KERNELS.iter().map(|other| other.name).filter(|&name| name != kernel.name).collect();
    format!(
        "kernel {} can't be fetched. Put the image (boot/vmlinuz-*) of Debian {}'s linux-image-cloud-amd64 at {}, or do \
         without: `cargo xtask vm {}`",
        kernel.name,
        kernel.suite,
        image.display(),
        others.join(" ")
    )
}

/// Keeps the image alone: what the tests need of the kernel is built in, no module is.
fn fetch(suite: &str, kept: &Path) -> Result<()> {
    let scratch = tempfile::tempdir().context("making a temporary directory")?;
    let archive = Archive::open(suite, scratch.path())?;
    let unpacked = scratch.path().join("unpacked");
    for package in archive.download_kernel()? {
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("--extract").arg(package).arg(&unpacked);
        run::run(&mut unpack, "the package is damaged: try again")?;
    }
    let image = find(&unpacked).context("the packages hold no kernel image")?;
    let directory = kept.parent().context("an image lies in a directory")?;
    fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    // Renamed at the end: what is there is whole, whichever other process fetches it at the same time.
    let part = NamedTempFile::new_in(directory).with_context(|| format!("making a file in {}", directory.display()))?;
    fs::copy(&image, part.path()).with_context(|| format!("copying {}", image.display()))?;
    part.persist(kept).with_context(|| format!("writing {}", kept.display()))?;
    Ok(())
}

/// The first `vmlinuz` or `vmlinuz-VERSION` below: Debian's place for it changed with 7.x, from `boot` to `usr/lib/modules`.
fn find(directory: &Path) -> Option<PathBuf> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(directory).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    let is_image = |path: &PathBuf| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        path.is_file() && (name == "vmlinuz" || name.starts_with("vmlinuz-"))
    };
    let here = entries.iter().find(|path| is_image(path)).cloned();
    here.or_else(|| entries.iter().filter(|path| path.is_dir() && !path.is_symlink()).find_map(|path| find(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_network_it_explains_what_to_do() {
        let reported = cure(&KERNELS[1], Path::new("/cache/bookworm/vmlinuz"));
        for part in
            ["kernel 6.1 ", "Debian bookworm's", "at /cache/bookworm/vmlinuz", "`cargo xtask vm 5.10 6.12 newest`"]
        {
            assert!(reported.contains(part), "{reported}");
        }
    }

    #[test]
    fn the_image_is_found_wherever_debian_puts_it() {
        for place in
            ["vmlinuz", "boot/vmlinuz-6.1.0-50-cloud-amd64", "usr/lib/modules/7.2.13+deb14-cloud-amd64/vmlinuz"]
        {
            let directory = tempfile::tempdir().unwrap();
            let image = directory.path().join(place);
            fs::create_dir_all(image.parent().unwrap()).unwrap();
            fs::write(directory.path().join("System.map"), "").unwrap();
            fs::write(&image, "").unwrap();
            assert_eq!(find(directory.path()), Some(image));
        }
        assert_eq!(find(Path::new("/nonexistent")), None);
    }
}
