//! Each sentence of SECURITY.md is backed by a test that names it: `/// SECURITY.md#pods` above the test.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The sections that promise something.
const SECTIONS: [&str; 2] = ["What runs with which privilege", "What an unprivileged user can cause"];
/// Where tests are.
const SOURCES: [&str; 4] = ["injector/src", "injector/tests", "injector-common/src", "tests/tests"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Names of the sentences, which are list items in the sections.
fn sentences(text: &str) -> BTreeSet<String> {
    let sections = text.split("\n## ").filter(|section| SECTIONS.iter().any(|title| section.starts_with(title)));
    let items: Vec<_> =
        sections.flat_map(|section| section.lines().filter_map(|line| line.strip_prefix("- "))).collect();
    let name = |item: &str| {
        let anchor = item.strip_prefix("<a id=\"").and_then(|rest| rest.split_once("\"></a>"));
        anchor.unwrap_or_else(|| panic!("no anchor: {item}")).0.to_owned()
    };
    let names: BTreeSet<_> = items.iter().map(|item| name(item)).collect();
    assert_eq!(names.len(), items.len(), "an anchor stands for one sentence");
    names
}

/// What the comments above tests in a source name.
fn named(source: &str) -> Vec<String> {
    let (mut above, mut named) = (Vec::new(), Vec::new());
    for line in source.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("///") {
            let references = comment.split("SECURITY.md#").skip(1);
            let end = |rest: &str| rest.find(|char: char| !char.is_ascii_lowercase()).unwrap_or(rest.len());
            above.extend(references.map(|rest| rest[..end(rest)].to_owned()));
        } else if line == "#[test]" || line == "#[tokio::test]" {
            named.append(&mut above);
        } else {
            above.clear();
        }
    }
    named
}

fn sources(directory: &Path, visit: &mut impl FnMut(&str)) {
    for entry in fs::read_dir(directory).expect("it is there") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            sources(&path, visit);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            visit(&fs::read_to_string(&path).expect("text"));
        }
    }
}

#[test]
fn each_sentence_is_named_by_a_test() {
    let promised = sentences(&fs::read_to_string(workspace().join("SECURITY.md")).expect("it is there"));
    assert!(promised.len() > 20, "{promised:?}");
    let mut tested = BTreeSet::new();
    for directory in SOURCES {
        sources(&workspace().join(directory), &mut |source| tested.extend(named(source)));
    }
    let missing: Vec<_> = promised.difference(&tested).collect();
    assert!(missing.is_empty(), "no test names these sentences of SECURITY.md: {missing:?}");
    let unknown: Vec<_> = tested.difference(&promised).collect();
    assert!(unknown.is_empty(), "tests name sentences that SECURITY.md does not have: {unknown:?}");
}

#[test]
fn only_comments_above_tests_count() {
    let source = "/// SECURITY.md#a, SECURITY.md#b\n/// and more\n#[test]\nfn x() {}\n/// SECURITY.md#c\nfn y() {}\n";
    assert_eq!(named(source), ["a", "b"]);
}
