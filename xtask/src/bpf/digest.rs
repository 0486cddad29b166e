//! A digest of all that the object is made from, to notice that it was not rebuilt.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use super::lockfile;

/// Directories and files that make up the object.
const SOURCES: [&str; 4] =
    ["injector-ebpf/src", "injector-ebpf/Cargo.toml", "injector-common/src", "injector-common/Cargo.toml"];

/// Digest of the sources, of the `[profile]` they are built with, and of the crates that they use.
pub(crate) fn of_sources(root: &Path) -> Result<String> {
    let mut parts = BTreeMap::new();
    for source in SOURCES {
        collect(root, Path::new(source), &mut parts)?;
    }
    let manifest = read(&root.join("Cargo.toml"))?;
    parts.insert("Cargo.toml [profile]".to_owned(), profiles(&manifest)?.into_bytes());
    let lock = read(&root.join("Cargo.lock"))?;
    let crates = lockfile::dependencies(&lock, "injector-ebpf")?;
    parts.insert("Cargo.lock".to_owned(), joined(&crates).into_bytes());
    Ok(of_parts(&parts))
}

/// Digest of one file's bytes.
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Digest of named parts. The map sorts them; lengths keep one part from running into the next.
fn of_parts(parts: &BTreeMap<String, Vec<u8>>) -> String {
    let mut hash = Sha256::new();
    for (name, bytes) in parts {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    hex(&hash.finalize())
}

fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn collect(root: &Path, path: &Path, parts: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
    let full = root.join(path);
    if !full.is_dir() {
        let bytes = fs::read(&full).with_context(|| format!("reading {}", full.display()))?;
        parts.insert(path.to_string_lossy().into_owned(), bytes);
        return Ok(());
    }
    let entries = fs::read_dir(&full).with_context(|| format!("listing {}", full.display()))?;
    for entry in entries {
        collect(root, &path.join(entry?.file_name()), parts)?;
    }
    Ok(())
}

fn profiles(manifest: &str) -> Result<String> {
    let manifest: toml::Table = manifest.parse().context("reading Cargo.toml")?;
    let profiles = manifest.get("profile").context("Cargo.toml has no [profile]")?;
    let profile = |name| profiles.get(name).map(ToString::to_string).unwrap_or_default();
    // `bpf` inherits from `release`.
    Ok(format!("{}\n{}", profile("release"), profile("bpf")))
}

fn joined(lines: &BTreeSet<String>) -> String {
    lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bpf::manifest::Manifest, workspace};

    #[test]
    fn the_committed_object_was_built_from_these_sources() {
        let root = workspace::root();
        let manifest = Manifest::read(&root).unwrap();
        assert_eq!(
            of_sources(&root).unwrap(),
            manifest.sha256.sources,
            "the sources of the BPF object changed since it was built: run `cargo xtask ebpf`"
        );
    }

    #[test]
    fn the_committed_object_is_the_one_in_the_manifest() {
        let root = workspace::root();
        let manifest = Manifest::read(&root).unwrap();
        let object = fs::read(Manifest::object_path(&root)).unwrap();
        assert_eq!(
            of_bytes(&object),
            manifest.sha256.object,
            "the committed BPF object is not the one in its manifest: run `cargo xtask ebpf`"
        );
    }

    fn parts(parts: &[(&str, &str)]) -> String {
        of_parts(&parts.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.as_bytes().to_vec())).collect())
    }

    #[test]
    fn order_does_not_matter() {
        assert_eq!(parts(&[("a.rs", "1"), ("b.rs", "2")]), parts(&[("b.rs", "2"), ("a.rs", "1")]));
    }

    #[test]
    fn names_contents_and_borders_matter() {
        let digest = parts(&[("a.rs", "12"), ("b.rs", "3")]);
        for other in [
            parts(&[("a.rs", "1"), ("b.rs", "23")]),
            parts(&[("a.rs", "3"), ("b.rs", "12")]),
            parts(&[("a.rs", "12"), ("c.rs", "3")]),
            parts(&[("a.rs", "12")]),
        ] {
            assert_ne!(digest, other);
        }
    }

    #[test]
    fn only_the_profiles_in_use_count() {
        let manifest = "[profile.release]\nlto = 'thin'\n[profile.bpf]\nopt-level = 3\n";
        let unrelated = format!("{manifest}[profile.dev]\nopt-level = 1\n");
        let changed = manifest.replace('3', "2");
        assert_eq!(profiles(manifest).unwrap(), profiles(&unrelated).unwrap());
        assert_ne!(profiles(manifest).unwrap(), profiles(&changed).unwrap());
    }
}
