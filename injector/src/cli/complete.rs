//! What a shell offers when Tab is pressed: the words that fit this host.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    io::{self, Write},
    iter,
    path::{Path, PathBuf},
};

use clap::Command;
use clap_complete::{
    CompletionCandidate,
    engine::complete,
    env::{Bash, CompleteEnv, Elvish, EnvCompleter, Fish, Powershell, Shells, Zsh},
};

use crate::{bpf::pins::PinDir, hop::Kind, host::cgroup};

/// A shell's script sets it to the shell's name when it asks.
const VARIABLE: &str = "COMPLETE";

const SHELLS: Shells<'static> = Shells(&[&JoinedBash, &Elvish, &Fish, &Powershell, &Zsh]);

/// Answers a shell that asks for words, and ends the process. Returns where none does.
pub(super) fn answer() {
    CompleteEnv::with_factory(super::command).var(VARIABLE).shells(SHELLS).complete();
}

/// Writes the script that has `shell` ask.
///
/// Errors where `out` does. A shell that is not known writes nothing.
pub(super) fn registration(shell: &str, out: &mut dyn Write) -> io::Result<()> {
    let name = env!("CARGO_PKG_NAME");
    SHELLS.completer(shell).map_or(Ok(()), |shell| shell.write_registration(VARIABLE, name, name, name, out))
}

/// Names of the attachments on this host; none without the privilege to see them.
pub(super) fn attachments() -> Vec<CompletionCandidate> {
    let all = PinDir::all().unwrap_or_default();
    all.iter().map(|pins| CompletionCandidate::new(pins.name())).collect()
}

/// cgroups below the mount, one level at a time.
pub(super) fn cgroups(current: &OsStr) -> Vec<CompletionCandidate> {
    let Ok(mount) = cgroup::mount_point() else { return vec![] };
    below(&mount, Path::new(current)).into_iter().map(CompletionCandidate::new).collect()
}

/// The directories that `typed` may go on to, written as it was begun: as full paths or from the mount on.
fn below(mount: &Path, typed: &Path) -> Vec<PathBuf> {
    let is_whole = typed.as_os_str().is_empty() || typed.as_os_str().as_encoded_bytes().ends_with(b"/");
    let parent = if is_whole { typed } else { typed.parent().unwrap_or(Path::new("")) };
    let begun = if is_whole { OsStr::new("") } else { typed.file_name().unwrap_or_default() };
    let directory = if parent.starts_with(mount) { parent.to_owned() } else { cgroup::below(mount, parent) };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut found: Vec<_> = directories
        .map(|entry| entry.file_name())
        .filter(|name| name.as_encoded_bytes().starts_with(begun.as_encoded_bytes()))
        .map(|name| parent.join(name))
        .collect();
    found.sort();
    found
}

/// Hops: a kind under its own name, or the kinds after `NAME=`.
pub(super) fn hops(current: &OsStr) -> Vec<CompletionCandidate> {
    let typed = current.to_string_lossy();
    let name = typed.split_once('=').map(|(name, _)| name);
    let hop = |kind: &str| format!("{}={kind}", name.unwrap_or(kind));
    let all = Kind::ALL.into_iter().map(|kind| hop(kind.name()));
    all.filter(|hop| hop.starts_with(&*typed)).map(CompletionCandidate::new).collect()
}

/// Bash splits words at `=` and `:`: they are joined again before completion, and the part before them is removed from the
/// answer.
struct JoinedBash;

impl EnvCompleter for JoinedBash {
    fn name(&self) -> &'static str {
        Bash.name()
    }

    fn is(&self, name: &str) -> bool {
        Bash.is(name)
    }

    fn write_registration(
        &self,
        variable: &str,
        name: &str,
        bin: &str,
        completer: &str,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        Bash.write_registration(variable, name, bin, completer, out)
    }

    fn write_complete(
        &self,
        command: &mut Command,
        words: Vec<OsString>,
        directory: Option<&Path>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let number = |name: &str| env::var(name).ok().and_then(|value| value.parse::<usize>().ok());
        let joined = join(words, number("_CLAP_COMPLETE_INDEX").unwrap_or_default());
        let separator = env::var("_CLAP_IFS").unwrap_or_else(|_| "\n".to_owned());
        let candidates = complete(command, joined.words, joined.index, directory)?;
        for (before, candidate) in iter::once("").chain(iter::repeat(&*separator)).zip(&candidates) {
            let value = candidate.get_value().to_string_lossy();
            write!(out, "{before}{}", value.strip_prefix(&joined.before).unwrap_or(&value))?;
        }
        Ok(())
    }
}

/// Words as they were typed.
struct Joined {
    words: Vec<OsString>,
    /// Which one is to be completed.
    index: usize,
    /// The part of it that Bash keeps.
    before: String,
}

fn join(split: Vec<OsString>, index: usize) -> Joined {
    let is_break = |word: &OsStr| matches!(word.as_encoded_bytes(), b"=" | b":");
    let mut joined = Joined { words: vec![], index: 0, before: String::new() };
    let mut continues = false;
    for (place, word) in split.into_iter().enumerate().take(index + 1) {
        let is_break = is_break(&word);
        match joined.words.last_mut() {
            Some(last) if is_break || continues => {
                if place == index && !is_break {
                    joined.before = last.to_string_lossy().into_owned();
                }
                last.push(&word);
                if place == index && is_break {
                    joined.before = last.to_string_lossy().into_owned();
                }
            }
            _ => joined.words.push(word),
        }
        continues = is_break;
    }
    joined.index = joined.words.len().saturating_sub(1);
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bash_split_is_joined() {
        let table: [(&[&str], &str, &str); 6] = [
            (&["injector", "attach", "--hop", "nl"], "nl", ""),
            (&["injector", "attach", "--hop", "db", "=", "nl"], "db=nl", "db="),
            (&["injector", "attach", "--hop", "db", "="], "db=", "db="),
            (&["injector", "attach", "--hop", "=", "db", "=", "nl"], "--hop=db=nl", "--hop=db="),
            (&["injector", "attach", "--hop", "db", "=", "alb", ":", "6"], "db=alb:6", "db=alb:"),
            (&["injector", "attach", ""], "", ""),
        ];
        for (words, last, before) in table {
            let joined = join(words.iter().map(OsString::from).collect(), words.len() - 1);
            assert_eq!(joined.words[joined.index], last, "{words:?}");
            assert_eq!(joined.before, before, "{words:?}");
        }
    }

    #[test]
    fn cgroups_are_offered_as_they_were_begun() {
        let mount = tempfile::tempdir().expect("a directory");
        for name in ["system.slice/one.service", "system.slice/two.service", "user.slice"] {
            fs::create_dir_all(mount.path().join(name)).expect("created");
        }
        fs::write(mount.path().join("system.slice/one.file"), "").expect("written");
        let full = mount.path().join("us");
        let table = [
            ("", vec!["system.slice", "user.slice"]),
            ("/", vec!["/system.slice", "/user.slice"]),
            ("sy", vec!["system.slice"]),
            ("system.slice/", vec!["system.slice/one.service", "system.slice/two.service"]),
            ("/system.slice/o", vec!["/system.slice/one.service"]),
            ("no/such", vec![]),
        ];
        for (typed, expected) in table {
            let expected: Vec<_> = expected.into_iter().map(PathBuf::from).collect();
            assert_eq!(below(mount.path(), Path::new(typed)), expected, "{typed}");
        }
        assert_eq!(below(mount.path(), &full), [mount.path().join("user.slice")]);
    }

    #[test]
    fn hops_are_offered_by_kind() {
        let values = |typed: &str| -> Vec<String> {
            hops(OsStr::new(typed)).iter().map(|hop| hop.get_value().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(values("nlb"), ["nlb-tcp=nlb-tcp", "nlb-tls=nlb-tls"]);
        assert_eq!(values("db=nlb-tc"), ["db=nlb-tcp"]);
        assert_eq!(values("db=").len(), Kind::ALL.len());
        assert_eq!(values("db=nlb-tcp:60s"), [""; 0]);
    }
}
