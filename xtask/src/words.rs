//! Plain English: phrases that texts, comments and names of the project avoid, each with what to write instead.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::{say, workspace};

/// Phrases, and what to write instead. Words are alternatives where `|` separates them.
const PHRASES: [(&str, &str); 29] = [
    ("tell|tells|told|telling", "report, log, print, show; configured, by default"),
    ("at work", "active, attached"),
    ("put|puts to work", "apply, attach"),
    ("in force", "applied, effective"),
    ("well again", "recovered"),
    ("come|comes|came|coming near", "at risk, close to"),
    ("whoever", "a client that, processes that"),
    ("nobody|somebody|anybody|everybody", "no process, another user, all users"),
    ("who asks|reads|writes|holds|reaches|wants|looks", "clients that, the process that"),
    ("on the|its|their|this|her|his way", "on the path; in flight"),
    ("in the way", "conflicts, blocks"),
    ("forget|forgets|forgot|forgotten", "drop, expire, remove"),
    ("silence", "idle time"),
    ("left|leave|leaves|leaving out", "omitted, skipped, without"),
    ("as a rule", "usually"),
    ("anew", "again; recreated"),
    ("what becomes|became of", "the outcome of, the state of, how to treat"),
    ("in vain", "timed out, unanswered"),
    ("take|takes|taken|taking off", "detach, remove"),
    ("look|looks|looked|looking into", "inspect"),
    ("come|comes|came to an end", "end"),
    ("there before", "open before, earlier, existing"),
    ("let|lets|letting go", "release, drop"),
    ("hear|hears of", "see, notice"),
    ("go|goes by", "use, follow"),
    ("all the same", "nevertheless, still"),
    ("no matter|news of", "not part of, no change of"),
    ("says otherwise", "by default, unless configured"),
    ("made use of", "used"),
];

/// Names of files with text: by the end after the last dot, or in full where they have none.
const ENDS: [&str; 14] =
    ["rs", "md", "toml", "yaml", "yml", "html", "py", "sh", "txt", "tpl", "json", "service", "css", "Dockerfile"];

/// This file, which has to quote the phrases.
const LIST: &str = "xtask/src/words.rs";

/// A phrase that a text has.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    /// From 1.
    line: usize,
    /// As the text has it, in lower case.
    phrase: String,
    instead: &'static str,
}

/// Checks all texts of the workspace.
pub(crate) fn check() -> Result<()> {
    say::info("words");
    let root = workspace::root();
    let mut found = Vec::new();
    for path in texts(&root)? {
        let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let name = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
        let findings = findings(&String::from_utf8_lossy(&text));
        found.extend(findings.iter().map(|it| format!("{name}:{}: \"{}\": write {}", it.line, it.phrase, it.instead)));
    }
    if found.is_empty() { Ok(()) } else { bail!("{}", found.join("\n")) }
}

/// Files with text below `root`. Not asked of git, since a source archive has none: build directories and hidden ones,
/// except `.github`, are skipped.
fn texts(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))?;
        for entry in entries {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let is_skipped = name.starts_with('.') && name != ".github" || name == "target" || name == "node_modules";
            // A link is followed where it leads.
            let kind = entry.file_type()?;
            if is_skipped || path == root.join(LIST) {
                continue;
            }
            if kind.is_dir() {
                directories.push(path);
            } else if kind.is_file() && name.rsplit('.').next().is_some_and(|end| ENDS.contains(&end)) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn findings(text: &str) -> Vec<Finding> {
    let words = words(text);
    let at = |start: usize| {
        PHRASES.iter().filter_map({
            let words = &words;
            move |(phrase, instead)| {
                let mut length = 0;
                for alternatives in phrase.split(' ') {
                    let word = words.get(start + length)?;
                    let is_joined = length == 0 || word.is_joined;
                    (is_joined && alternatives.split('|').any(|one| one == word.text)).then_some(())?;
                    length += 1;
                }
                let texts: Vec<_> = words[start..start + length].iter().map(|word| word.text.as_str()).collect();
                Some(Finding { line: words[start].line, phrase: texts.join(" "), instead })
            }
        })
    };
    (0..words.len()).flat_map(at).collect()
}

/// A word in lower case.
struct Word {
    line: usize,
    text: String,
    /// Nothing lies between the word before and this one that ends a phrase: blanks, underscores, a line end with the
    /// mark of a comment.
    is_joined: bool,
}

/// The words of a text, those within names such as `snake_case` and `CamelCase` included.
fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let (mut line, mut is_joined, mut before) = (1, false, ' ');
    for char in text.chars() {
        if char.is_alphanumeric() || char == '\'' {
            let continues = before.is_alphanumeric() || before == '\'';
            let is_camel = before.is_lowercase() && char.is_uppercase();
            match words.last_mut() {
                Some(word) if continues && !is_camel => word.text.extend(char.to_lowercase()),
                _ => words.push(Word { line, text: char.to_lowercase().collect(), is_joined: is_camel || is_joined }),
            }
            is_joined = true;
        } else {
            is_joined = is_joined && (char.is_whitespace() || "_-/!#*\\".contains(char));
            line += usize::from(char == '\n');
        }
        before = char;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_found_in_prose_and_names() {
        let table: [(&str, &[(usize, &str)]); 16] = [
            ("reports what it saw", &[]),
            ("it tells what it saw", &[(1, "tells")]),
            ("one\ntwo, Told.\n", &[(2, "told")]),
            ("foretold, teller, intelligence", &[]),
            ("programs left at work", &[(1, "at work")]),
            ("// programs left at\n    // work", &[(1, "at work")]),
            ("//! a long\n//! silence", &[(2, "silence")]),
            ("\"programs at \\\n   work\"", &[(1, "at work")]),
            ("at. Work", &[]),
            ("at (work)", &[]),
            ("fn what_is_told() {}", &[(1, "told")]),
            ("fn what_is_in_force() {}", &[(1, "in force")]),
            ("struct InForce;", &[(1, "in force")]),
            ("Unless::ToldNot", &[(1, "told")]),
            ("on the way, on its way, on the highway", &[(1, "on the way"), (1, "on its way")]),
            ("workload at workers", &[]),
        ];
        for (text, expected) in table {
            let found = findings(text);
            let found: Vec<_> = found.iter().map(|it| (it.line, it.phrase.as_str())).collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn each_phrase_is_found_by_itself() {
        for (phrase, instead) in PHRASES {
            let text: Vec<_> = phrase.split(' ').filter_map(|words| words.split('|').next()).collect();
            let found = findings(&text.join(" "));
            assert!(found.iter().any(|it| it.instead == instead), "{phrase}");
            assert!(findings(instead).is_empty(), "{instead}");
        }
    }

    #[test]
    fn the_project_uses_plain_words() {
        let texts = texts(&workspace::root()).expect("the workspace can be read");
        assert!(texts.len() > 400, "{} files", texts.len());
        check().expect("plain words");
    }
}
