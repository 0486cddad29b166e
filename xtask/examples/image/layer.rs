//! The one layer: the same files are the same bytes, whoever packs them and when.

use std::{collections::BTreeSet, io::Write as _, path::Path};

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

/// A file: path from the root without a leading slash, mode, content.
pub(crate) type File = (String, u32, Vec<u8>);

/// The layer.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) tar: Vec<u8>,
    pub(crate) compressed: Vec<u8>,
}

impl Layer {
    /// Packs files, which become root's and get the date `epoch`, and the directories above them.
    pub(crate) fn new(files: &[File], epoch: u64) -> Result<Self> {
        let tar = pack(files, epoch).context("packing the layer")?;
        // No name and no time in its header.
        let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
        gzip.write_all(&tar).context("compressing the layer")?;
        let compressed = gzip.finish().context("compressing the layer")?;
        Ok(Self { tar, compressed })
    }
}

/// A tar of these files in the order of their names, directories first.
pub(crate) fn pack(files: &[File], epoch: u64) -> std::io::Result<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    for directory in directories(files) {
        builder.append_data(&mut header(EntryType::Directory, 0o755, 0, epoch), directory, std::io::empty())?;
    }
    let mut sorted: Vec<&File> = files.iter().collect();
    sorted.sort();
    for (path, mode, content) in sorted {
        let mut header = header(EntryType::Regular, *mode, content.len() as u64, epoch);
        builder.append_data(&mut header, path, content.as_slice())?;
    }
    builder.into_inner()
}

fn directories(files: &[File]) -> BTreeSet<&str> {
    let parents = |path| Path::new(path).ancestors().skip(1).filter_map(Path::to_str);
    files.iter().flat_map(|(path, ..)| parents(path)).filter(|path| !path.is_empty()).collect()
}

fn header(kind: EntryType, mode: u32, size: u64, epoch: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(epoch);
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<File> {
        vec![("usr/bin/b".to_owned(), 0o755, b"two".to_vec()), ("etc/a".to_owned(), 0o644, b"one".to_vec())]
    }

    #[test]
    fn directories_come_before_what_is_in_them() {
        let layer = Layer::new(&files(), 1_700_000_000).unwrap();
        let mut archive = tar::Archive::new(layer.tar.as_slice());
        let entries: Vec<_> = archive.entries().unwrap().map(Result::unwrap).collect();
        let told = entries.iter().map(|entry| {
            let header = entry.header();
            let path = entry.path().unwrap().display().to_string();
            (path, header.mode().unwrap(), header.uid().unwrap(), header.mtime().unwrap())
        });
        let expected = [("etc", 0o755), ("usr", 0o755), ("usr/bin", 0o755), ("etc/a", 0o644), ("usr/bin/b", 0o755)];
        let expected = expected.map(|(path, mode)| (path.to_owned(), mode, 0, 1_700_000_000));
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_order_of_files_does_not_matter() {
        let reversed: Vec<File> = files().into_iter().rev().collect();
        assert_eq!(Layer::new(&files(), 1).unwrap().compressed, Layer::new(&reversed, 1).unwrap().compressed);
    }
}
