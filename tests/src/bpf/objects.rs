//! The kernel's objects of an attachment, as bpftool finds them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::deadline::{SOON, eventually};
use crate::injector::attachment::PINS;
use crate::programs::command::tool;

/// Programs, maps and links by the kernel's ids, which are not used again soon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    /// Programs.
    pub programs: BTreeSet<u64>,
    /// Maps.
    pub maps: BTreeSet<u64>,
    /// Links.
    pub links: BTreeSet<u64>,
}

impl Objects {
    /// What is pinned for an attachment, in whatever state, and what that holds: programs by links, maps by programs.
    pub fn pinned(name: &str) -> Self {
        let mut objects = Self::default();
        objects.add_pins(&Path::new(PINS).join(name));
        for program in &objects.programs {
            let shown = bpftool(&["prog", "show", "id", &program.to_string()]);
            objects.maps.extend(shown["map_ids"].as_array().into_iter().flatten().filter_map(Value::as_u64));
        }
        objects
    }

    /// Those that the kernel still has.
    #[must_use]
    pub fn alive(&self) -> Self {
        let still = |kind: &str, ids: &BTreeSet<u64>| &ids_of(kind) & ids;
        Self {
            programs: still("prog", &self.programs),
            maps: still("map", &self.maps),
            links: still("link", &self.links),
        }
    }

    /// Waits until the kernel has freed all of them, which it does a moment after the last process has closed them.
    pub fn wait_until_freed(&self) {
        assert!(*self != Self::default(), "there were none");
        eventually("the kernel has freed all objects", SOON, || (self.alive() == Self::default()).then_some(()));
    }

    /// Remembers the others as well.
    pub fn extend(&mut self, others: Self) {
        self.programs.extend(others.programs);
        self.maps.extend(others.maps);
        self.links.extend(others.links);
    }

    fn add_pins(&mut self, directory: &Path) {
        // Another process that is just detaching may have been faster.
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.add_pins(&entry.path());
            } else {
                self.add_pin(&entry.path().to_string_lossy());
            }
        }
    }

    /// Maps have names in capitals; links are named for their programs.
    fn add_pin(&mut self, pin: &str) {
        let is_map = pin.rsplit('/').next().is_some_and(|name| name.chars().any(char::is_uppercase));
        let shown = bpftool(&[if is_map { "map" } else { "link" }, "show", "pinned", pin]);
        let ids = if is_map { &mut self.maps } else { &mut self.links };
        ids.extend(shown["id"].as_u64());
        self.programs.extend(shown["prog_id"].as_u64());
    }
}

/// The ids of all programs, maps or links on this host.
fn ids_of(kind: &str) -> BTreeSet<u64> {
    bpftool(&[kind, "show"]).as_array().into_iter().flatten().filter_map(|object| object["id"].as_u64()).collect()
}

fn bpftool(arguments: &[&str]) -> Value {
    let text = tool("bpftool", &[&["--json"], arguments].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("bpftool printed {text:?}: {error}"))
}
