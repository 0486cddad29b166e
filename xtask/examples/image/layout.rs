//! An OCI image layout: blobs by their digests, in a directory and as one archive.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use oci_spec::image::{Descriptor, MediaType, Sha256Digest};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::layer::{self, File};

/// The file that says what the directory is, and its content.
pub(crate) const MARK: (&str, &str) = ("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);

/// A directory with a layout in it.
#[derive(Debug)]
pub(crate) struct Layout {
    directory: PathBuf,
}

impl Layout {
    /// Makes an empty one, in the place of an earlier one.
    pub(crate) fn create(directory: &Path) -> Result<Self> {
        let layout = Self { directory: directory.to_owned() };
        if directory.exists() {
            ensure!(directory.join(MARK.0).exists(), "{} is no image layout: move it away", directory.display());
            fs::remove_dir_all(directory).with_context(|| format!("removing {}", directory.display()))?;
        }
        fs::create_dir_all(layout.blobs()).with_context(|| format!("making {}", layout.blobs().display()))?;
        layout.file(MARK.0, MARK.1.as_bytes())?;
        Ok(layout)
    }

    /// Adds a blob.
    pub(crate) fn blob(&self, kind: MediaType, bytes: &[u8]) -> Result<Descriptor> {
        let digest = digest(bytes)?;
        self.file(&format!("blobs/sha256/{}", digest.digest()), bytes)?;
        Ok(Descriptor::new(kind, bytes.len() as u64, digest))
    }

    /// Adds a document as a blob.
    pub(crate) fn document(&self, kind: MediaType, document: &impl Serialize) -> Result<Descriptor> {
        self.blob(kind, &json(document)?)
    }

    /// Writes the index, which is where readers begin.
    pub(crate) fn index(&self, index: &impl Serialize) -> Result<()> {
        self.file("index.json", &json(index)?)
    }

    /// Packs all of it into one file.
    pub(crate) fn archive(&self, path: &Path, epoch: u64) -> Result<()> {
        let mut files = Vec::new();
        self.collect(&self.directory, &mut files).context("reading the layout")?;
        let bytes = layer::pack(&files, epoch).context("packing the layout")?;
        fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
    }

    fn collect(&self, directory: &Path, files: &mut Vec<File>) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                self.collect(&path, files)?;
            } else {
                let name = path.strip_prefix(&self.directory).expect("it lies in there").display().to_string();
                files.push((name, 0o644, fs::read(&path)?));
            }
        }
        Ok(())
    }

    fn blobs(&self) -> PathBuf {
        self.directory.join("blobs/sha256")
    }

    fn file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.directory.join(name);
        fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))
    }
}

/// The digest of bytes.
pub(crate) fn digest(bytes: &[u8]) -> Result<Sha256Digest> {
    let digits = Sha256::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    digits.parse().context("a digest is one")
}

/// A document in JSON with sorted keys. The library keeps labels in maps whose order differs from run to run.
fn json(document: &impl Serialize) -> Result<Vec<u8>> {
    let sorted = serde_json::to_value(document).context("writing JSON")?;
    serde_json::to_vec(&sorted).context("writing JSON")
}
