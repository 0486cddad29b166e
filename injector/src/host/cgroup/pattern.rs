//! The cgroups that an agent attaches to: paths in which parts of a name may be patterns.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use glob::MatchOptions;

/// A path below the cgroup v2 mount with `*`, `?` and `[...]`, none of which
/// stands for a `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<glob::Pattern>,
}

/// The cgroups that patterns match at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expansion {
    /// Cgroups that match, by their paths from the mount on. Where that is mounted may change.
    pub found: BTreeSet<PathBuf>,
    /// Directories in which one that matches, or a parent of it, can appear.
    pub parents: BTreeSet<PathBuf>,
    /// Paths without a pattern that do not exist.
    pub missing: Vec<String>,
}

/// Every character of a name may be matched, a leading dot included.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

impl Pattern {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// For one that begins with the mount point `mount`, where the cgroup at `path` is seen.
    #[must_use]
    pub fn below(mut self, mount: &Path, path: &Path) -> Self {
        let path = path.to_string_lossy();
        let literal = |name| glob::Pattern::new(&glob::Pattern::escape(name)).ok();
        self.parts.splice(..names(&mount.to_string_lossy()).count(), names(&path).filter_map(literal));
        self
    }

    fn is_literal(&self) -> bool {
        !self.text.contains(['*', '?', '['])
    }

    /// Adds what it stands for below `mount`.
    fn expand(&self, mount: &Path, expansion: &mut Expansion) {
        let mut level = vec![mount.to_owned()];
        for part in &self.parts {
            let below = level.iter().flat_map(|directory| matching(directory, part)).collect();
            expansion.parents.extend(std::mem::replace(&mut level, below));
        }
        if level.is_empty() && self.is_literal() {
            expansion.missing.push(self.text.clone());
        }
        let path = |directory: &PathBuf| Path::new("/").join(directory.strip_prefix(mount).unwrap_or(directory));
        expansion.found.extend(level.iter().map(path));
    }

    /// Whether it stands for `path`, relative to the mount, or for a cgroup
    /// above it.
    pub fn covers(&self, path: &str) -> bool {
        let mut names = names(path);
        self.parts.iter().all(|part| names.next().is_some_and(|name| part.matches_with(name, OPTIONS)))
    }
}

/// The cgroups that all of them match.
pub(crate) fn expand(patterns: &[Pattern], mount: &Path) -> Expansion {
    let mut expansion = Expansion::default();
    for pattern in patterns {
        pattern.expand(mount, &mut expansion);
    }
    expansion
}

fn matching(directory: &Path, part: &glob::Pattern) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let matching = directories.filter(|entry| part.matches_with(&entry.file_name().to_string_lossy(), OPTIONS));
    matching.map(|entry| entry.path()).collect()
}

fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the path is empty: expected a cgroup, \"/\" for the whole host".to_owned());
        }
        let parts = names(text).map(part).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), parts })
    }
}

fn part(name: &str) -> Result<glob::Pattern, String> {
    match name {
        "." | ".." => Err(format!("{name:?} is not a cgroup name: write the path relative to the cgroup v2 mount")),
        _ if name.contains("**") => Err("\"**\" is not possible here: write \"*\" for each level".to_owned()),
        _ => glob::Pattern::new(name).map_err(|error| format!("{name:?} is not a pattern: {}", error.msg)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| text.parse().expect(text)).collect()
    }

    fn paths(parent: &Path, names: &[&str]) -> BTreeSet<PathBuf> {
        names.iter().map(|name| parent.join(name)).collect()
    }

    #[test]
    fn what_is_there_is_found_and_what_may_come_is_looked_for() {
        let mount = tempfile::tempdir().expect("a directory");
        let mount = mount.path();
        for name in ["system.slice/a.service", "system.slice/b.scope", "user.slice/.x.service"] {
            fs::create_dir_all(mount.join(name)).expect("made");
        }
        fs::write(mount.join("system.slice/c.service"), "").expect("written");
        let expansion = expand(&patterns(&["system.slice/*.service", "*.slice/?x.service", "no/such"]), mount);
        assert_eq!(expansion.found, paths(Path::new("/"), &["system.slice/a.service", "user.slice/.x.service"]));
        assert_eq!(expansion.parents, paths(mount, &["", "system.slice", "user.slice"]));
        assert_eq!(expansion.missing, ["no/such"]);
    }

    #[test]
    fn the_root() {
        let mount = tempfile::tempdir().expect("a directory");
        let mount = mount.path();
        let root = expand(&patterns(&["/"]), mount);
        assert_eq!((root.found, root.parents.len()), (paths(Path::new("/"), &[""]), 0));
    }

    #[test]
    fn full_paths() {
        let table = [
            ("/sys/fs/cgroup/a", "/sys/fs/cgroup", "/", "/a/b", true),
            ("/sys/fs/cgroup/*.slice", "/sys/fs/cgroup", "/", "/x.slice", true),
            ("/part/b*", "/part", "/[a]", "/[a]/bc", true),
            ("/part/b*", "/part", "/[a]", "/a/bc", false),
        ];
        for (text, mount, path, cgroup, expected) in table {
            let pattern = text.parse::<Pattern>().expect(text).below(Path::new(mount), Path::new(path));
            assert_eq!(pattern.covers(cgroup), expected, "{text} {cgroup}");
        }
    }

    #[test]
    fn what_a_pattern_covers() {
        let table = [
            ("/", "/", true),
            ("/", "/a/b", true),
            ("a/*", "/a", false),
            ("a/*", "/a/b", true),
            ("a/*", "/a/b/c", true),
            ("a/b*", "/a/c/b", false),
            ("*.slice", "/kubepods.slice/x", true),
            // kind's nodes, with either driver of the kubelet.
            ("kubelet*/*kubepods*", "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice", true),
            ("kubelet*/*kubepods*", "/kubelet/kubepods/burstable", true),
            ("kubelet*/*kubepods*", "/kubelet.slice/kubelet.service", false),
        ];
        for (pattern, path, expected) in table {
            assert_eq!(patterns(&[pattern])[0].covers(path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn refused() {
        for (text, expected) in
            [("", "the whole host"), ("a/../b", "not a cgroup name"), ("a/**", "each level"), ("a/[", "not a pattern")]
        {
            let error = text.parse::<Pattern>().expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
