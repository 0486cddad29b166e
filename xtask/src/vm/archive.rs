//! Packages of a Debian release other than this machine's, through apt with a state of its own: nothing of the machine's
//! is touched, and apt checks signatures and hashes as always.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::run;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const CURE: &str = "the mirror of Debian must be in reach";
/// Where this machine is no Debian.
const MIRROR: &str = "http://deb.debian.org/debian";
/// Depends on the release's current kernel for virtual machines: no drivers for hardware, so it is small.
const KERNEL: &str = "linux-image-cloud-amd64";

/// One suite of the archive.
#[derive(Debug)]
pub(super) struct Archive {
    directory: PathBuf,
}

impl Archive {
    /// Fetches the suite's index; `directory` is apt's own from here on.
    pub(super) fn open(suite: &str, directory: &Path) -> Result<Self> {
        let archive = Self { directory: directory.to_owned() };
        for part in ["lists/partial", "archives/partial"] {
            fs::create_dir_all(directory.join(part)).with_context(|| format!("making {}", directory.display()))?;
        }
        let source = format!("deb [signed-by={KEYRING}] {} {suite} main\n", mirror()?);
        for (file, text) in [("sources.list", source.as_str()), ("status", "")] {
            let path = directory.join(file);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        run::run(archive.apt("apt-get").arg("update"), CURE)?;
        Ok(archive)
    }

    /// Downloads the packages that hold the kernel's image.
    pub(super) fn download_kernel(&self) -> Result<Vec<PathBuf>> {
        let depends = run::output(self.apt("apt-cache").args(["depends", "--recurse", "--important", KERNEL]), CURE)?;
        let packages = image_packages(&depends);
        ensure!(!packages.is_empty(), "{KERNEL} depends on no kernel image");
        run::run(self.apt("apt-get").arg("download").args(packages).current_dir(&self.directory), CURE)?;
        let entries = fs::read_dir(&self.directory).with_context(|| format!("reading {}", self.directory.display()))?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        Ok(paths.filter(|path| path.extension().is_some_and(|extension| extension == "deb")).collect())
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-qq");
        for (option, path) in [
            ("Dir::Etc::SourceList", "sources.list"),
            ("Dir::Etc::SourceParts", "none"),
            ("Dir::State::Lists", "lists"),
            ("Dir::State::status", "status"),
            ("Dir::Cache", ""),
        ] {
            command.arg("-o").arg(format!("{option}={}", self.directory.join(path).display()));
        }
        for option in [
            "Acquire::Languages=none",
            "Acquire::Retries=3",
            "APT::Architecture=amd64",
            // Root's apt would fetch as a user who may not enter the directory.
            "APT::Sandbox::User=root",
            // Without it an index that can't be had is a warning.
            "APT::Update::Error-Mode=any",
        ] {
            command.args(["-o", option]);
        }
        command
    }
}

/// The mirror that this machine's own packages come from, where it is a Debian.
fn mirror() -> Result<String> {
    let query = ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian"];
    let found = run::output(Command::new("apt-get").args(query), "the kernels come from Debian, through apt")?;
    Ok(found.lines().next().unwrap_or(MIRROR).to_owned())
}

/// Among packages and their dependencies, those that hold an image. Up to 7.1 it is `linux-image-VERSION`, since then
/// `linux-binary-VERSION`.
fn image_packages(depends: &str) -> Vec<&str> {
    let is_versioned = |rest: &str| rest.starts_with(|first: char| first.is_ascii_digit());
    let holds_image = |line: &&str| {
        ["linux-image-", "linux-binary-"].iter().any(|start| line.strip_prefix(start).is_some_and(is_versioned))
    };
    depends.lines().filter(holds_image).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_in_versioned_packages() {
        let depends = "linux-image-cloud-amd64\n  Depends: linux-image-7.2.13+deb14-cloud-amd64\n\
                       linux-image-7.2.13+deb14-cloud-amd64\n  Depends: linux-binary-7.2.13+deb14-cloud-amd64\n\
                       linux-base-7.2.13+deb14-cloud-amd64\nlinux-binary-7.2.13+deb14-cloud-amd64\n\
                       linux-modules-7.2.13+deb14-cloud-amd64\nlinux-base\n";
        let expected = ["linux-image-7.2.13+deb14-cloud-amd64", "linux-binary-7.2.13+deb14-cloud-amd64"];
        assert_eq!(image_packages(depends), expected);
    }
}
