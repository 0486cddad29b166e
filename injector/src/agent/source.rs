//! The configuration file of `run`, and whether it changed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::plan::Plan;
use crate::{
    config::{Config, Contents},
    error::Error,
};

/// The file, and what was last read from it.
#[derive(Debug)]
pub(super) struct ConfigFile {
    path: PathBuf,
    /// What a plan was last made of, or refused for.
    taken: Text,
    /// The content at the last look.
    seen: Text,
}

/// The content of a file; `None` where it can't be read.
type Text = Option<Vec<u8>>;

/// What a look at the file found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileState {
    Same,
    /// It is being written: look again soon.
    Changing,
    Changed,
}

impl ConfigFile {
    /// The file at `path`, not read yet.
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, taken: None, seen: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file, whatever was read before.
    pub(super) fn load(&mut self) -> Result<Plan, Error> {
        let read = Contents::read(&self.path);
        self.taken = read.as_ref().ok().map(|read| read.bytes.clone());
        self.seen.clone_from(&self.taken);
        Plan::of_file(&Config::of(&self.path, read)?)
    }

    /// Whether it differs from what was last read. A file may be written in several steps: it must be the same at two
    /// looks.
    pub(super) fn look(&mut self) -> FileState {
        let now = fs::read(&self.path).ok();
        let is_steady = now == self.seen;
        self.seen = now;
        match (self.seen == self.taken, is_steady) {
            (true, _) => FileState::Same,
            (false, false) => FileState::Changing,
            (false, true) => FileState::Changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_read_once_it_rests() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("config.toml");
        fs::write(&path, "cgroups = [\"/\"]").expect("written");
        let mut source = ConfigFile::new(path.clone());
        assert_eq!(source.load().expect("valid").agent.cgroups.len(), 1);
        assert_eq!(source.look(), FileState::Same);
        for text in ["", "cgroups = [\"/\"]\ntimeout = 60"] {
            fs::write(&path, text).expect("written");
            assert_eq!(source.look(), FileState::Changing);
        }
        assert_eq!(source.look(), FileState::Changed);
        assert_eq!(source.load().expect("valid").rules.fallback().limit_ms, 60_000);
        fs::remove_file(&path).expect("removed");
        assert_eq!((source.look(), source.look()), (FileState::Changing, FileState::Changed));
        assert!(source.load().expect_err("gone").to_string().contains("can't be read"));
        assert_eq!(source.look(), FileState::Same, "reported once");
    }
}
