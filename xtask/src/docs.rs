//! The documentation: every page is in the summary, and every link leads somewhere.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use pulldown_cmark::{Event, Options, Parser, Tag};

use crate::{say, workspace};

/// Pages outside of the book.
const PAGES: [&str; 5] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"];

/// Checks the links of all pages, and that the book's summary names each of its pages.
pub(crate) fn check() -> Result<()> {
    say::info("links of the documentation");
    let root = workspace::root();
    let book = root.join("docs/src");
    let pages = pages(&book)?;
    let mut wrong = Vec::new();
    for page in PAGES.iter().map(|name| root.join(name)).chain(pages.iter().cloned()) {
        let text = fs::read_to_string(&page).with_context(|| format!("reading {}", page.display()))?;
        let broken = links(&text).into_iter().filter(|link| !leads_somewhere(&page, link));
        wrong.extend(broken.map(|link| format!("{}: {link} leads nowhere", page.display())));
    }
    let summary = fs::read_to_string(book.join("SUMMARY.md"))?;
    let listed: BTreeSet<_> = links(&summary).into_iter().map(|link| book.join(link)).collect();
    let unlisted = pages.iter().filter(|page| !page.ends_with("SUMMARY.md") && !listed.contains(*page));
    wrong.extend(unlisted.map(|page| format!("{}: not in docs/src/SUMMARY.md", page.display())));
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("\n")) }
}

/// All Markdown files below `directory`.
fn pages(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(pages(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Where the links and pictures of a page lead, other sites apart.
fn links(text: &str) -> Vec<String> {
    let destination = |event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some(dest_url.into_string()),
        _ => None,
    };
    let is_here = |link: &String| !link.contains("://") && !link.starts_with("mailto:");
    Parser::new_ext(text, Options::ENABLE_TABLES).filter_map(destination).filter(is_here).collect()
}

/// Whether there is a file, and in it the heading that the part after `#` names.
fn leads_somewhere(page: &Path, link: &str) -> bool {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if path.is_empty() { page.to_owned() } else { page.with_file_name("").join(path) };
    let Ok(text) = fs::read_to_string(&target) else { return target.is_dir() };
    anchor.is_empty() || text.lines().filter_map(heading).any(|heading| heading == anchor)
}

/// The name that a heading can be linked by: lower case, spaces as dashes, no punctuation.
fn heading(line: &str) -> Option<String> {
    let text = line.strip_prefix('#')?.trim_start_matches('#').trim();
    let kept = text.chars().filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
    Some(kept.map(|char| if char == ' ' { '-' } else { char.to_ascii_lowercase() }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found() {
        let text = "[a](b.md#c) ![d](e.svg) [f](https://g.example) `[h](i)`\n\n| t |\n|---|\n| [j](k.md) |\n";
        assert_eq!(links(text), ["b.md#c", "e.svg", "k.md"]);
    }

    #[test]
    fn headings_have_names() {
        let table = [("## Ask AWS, now", Some("ask-aws-now")), ("# `injector`", Some("injector")), ("text", None)];
        for (line, name) in table {
            assert_eq!(heading(line).as_deref(), name, "{line}");
        }
    }

    #[test]
    fn the_documentation_holds_together() {
        check().unwrap();
    }
}
