//! Rooms only look down: no module of the crate uses one that stands after it in the order below.

use std::{
    fs,
    path::{Path, PathBuf},
};

use syn::{
    File, ItemUse, PathSegment, UseTree,
    spanned::Spanned as _,
    visit::{self, Visit},
};

/// The order. Rooms on one line may not use each other, apart from a file's own room.
const ORDER: [&[&str]; 12] = [
    &["error", "printable", "units", "suggest"],
    &["host"],
    &["hop"],
    &["rules"],
    &["bpf"],
    &["discovery"],
    &["config"],
    &["attachment", "flow"],
    &["advice"],
    &["output"],
    &["agent"],
    &["cli"],
];

/// A use of `room` at a line.
#[derive(Debug, PartialEq, Eq)]
struct Use {
    room: String,
    line: usize,
}

/// Collects what follows `crate::`, in `use` and in any other path.
#[derive(Default)]
struct Uses(Vec<Use>);

impl Uses {
    fn of(source: &File) -> Vec<Use> {
        let mut uses = Self::default();
        uses.visit_file(source);
        uses.0
    }

    fn note(&mut self, room: &syn::Ident) {
        self.0.push(Use { room: room.to_string(), line: room.span().start().line });
    }

    fn note_tree(&mut self, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => self.note(&path.ident),
            UseTree::Name(name) => self.note(&name.ident),
            UseTree::Rename(rename) => self.note(&rename.ident),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.note_tree(tree)),
            UseTree::Glob(glob) => panic!("line {}: `use crate::*` hides what is used", glob.span().start().line),
        }
    }
}

impl<'ast> Visit<'ast> for Uses {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if let UseTree::Path(path) = &item.tree
            && path.ident == "crate"
        {
            self.note_tree(&path.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut segments = path.segments.iter();
        if let (Some(PathSegment { ident, .. }), Some(room)) = (segments.next(), segments.next())
            && ident == "crate"
        {
            self.note(&room.ident);
        }
        visit::visit_path(self, path);
    }
}

fn rank(room: &str) -> Option<usize> {
    ORDER.iter().position(|rooms| rooms.contains(&room))
}

/// What is wrong with the uses of a file in `room`, a line each.
fn arrows_up(room: &str, file: &str, source: &str) -> Vec<String> {
    let source = syn::parse_file(source).unwrap_or_else(|error| panic!("{file}: {error}"));
    let own = rank(room).unwrap_or_else(|| panic!("{file}: {room} has no place in the order"));
    let looks_up = |used: &Use| used.room != room && rank(&used.room).is_none_or(|rank| rank >= own);
    let line = |used: Use| format!("{file}:{}: {room} uses {}, which comes after it", used.line, used.room);
    Uses::of(&source).into_iter().filter(looks_up).map(line).collect()
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn rooms_only_look_down() {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for path in sources(&tree) {
        let file = path.strip_prefix(&tree).unwrap().to_str().unwrap();
        let room = file.split('/').next().unwrap().trim_end_matches(".rs");
        if matches!(room, "lib" | "main") {
            continue;
        }
        wrong.extend(arrows_up(room, file, &fs::read_to_string(&path).unwrap()));
    }
    wrong.sort();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_way_to_look_up_is_seen() {
    let table = [
        ("use crate::cli::Cli;", &["x.rs:1: hop uses cli, which comes after it"][..]),
        ("use crate::{\n    error::Error,\n    cli,\n};", &["x.rs:3: hop uses cli, which comes after it"]),
        ("fn f() {\n    crate::cli::commands::run();\n}", &["x.rs:2: hop uses cli, which comes after it"]),
        ("fn f(x: &[crate::rules::Rules]) {}", &["x.rs:1: hop uses rules, which comes after it"]),
        ("use crate::nowhere::X;", &["x.rs:1: hop uses nowhere, which comes after it"]),
        ("use crate::{hop::Kind, units, host::cgroup as c};", &[]),
        ("use super::cli;\n// crate::cli\nuse std::cli;", &[]),
    ];
    for (source, expected) in table {
        assert_eq!(arrows_up("hop", "x.rs", source), expected, "{source}");
    }
    assert_eq!(arrows_up("flow", "x.rs", "use crate::attachment::watch;").len(), 1, "neighbours are not a room to use");
}
