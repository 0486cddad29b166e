//! Errors that name file, line and column.

use std::{iter, ops::Range, path::Path};

use crate::{error::ConfigError, suggest::nearest};

/// An error at the byte `offset` of `text`.
pub(super) fn at(path: &Path, text: &str, offset: usize, message: String) -> ConfigError {
    let (line, column) = LineStarts::of(text).position(offset);
    ConfigError::At { path: path.to_owned(), line, column, message }
}

/// The file has invalid UTF-8 after the first `valid` bytes.
pub(super) fn not_text(path: &Path, bytes: &[u8], valid: usize) -> ConfigError {
    let text = String::from_utf8_lossy(&bytes[..valid]);
    at(path, &text, valid, "this byte is not UTF-8, which TOML is written in".to_owned())
}

/// An error of the TOML parser.
pub(super) fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let Range { start, .. } = error.span().unwrap_or_default();
    at(path, text, start, readable(error.message()))
}

/// Where the lines of a text start.
#[derive(Debug)]
pub(super) struct LineStarts<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> LineStarts<'a> {
    /// Looks through `text` once.
    pub(super) fn of(text: &'a str) -> Self {
        let starts = text.match_indices('\n').map(|(index, _)| index + 1);
        Self { text, starts: iter::once(0).chain(starts).collect() }
    }

    /// The line of the byte at `offset`, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|&start| start <= offset)
    }

    /// Its line and its column in characters, both from 1.
    fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.line(offset);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text[start..].char_indices().take_while(|(index, _)| start + index < offset);
        (line, before.count() + 1)
    }
}

/// The parser's message in one line, in our own words. The names in backticks
/// are those of serde's derive: first the unknown one, then the known ones.
fn readable(message: &str) -> String {
    if !message.starts_with("unknown field `") {
        let tables = "tables, each under a line in double brackets such as [[hop]]";
        return message.replace("missing field", "missing key").replace("a sequence", tables).replace('\n', ", ");
    }
    let names: Vec<_> = message.split('`').skip(1).step_by(2).collect();
    let (unknown, known) = names.split_first().map_or(("", [].as_slice()), |(first, rest)| (*first, rest));
    let hint = nearest(unknown, known.iter().copied()).map(|name| format!(", `{name}` perhaps")).unwrap_or_default();
    format!("unknown key `{unknown}`{hint}: there are {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        let text = "a = 1\nö = 2\n";
        for (offset, expected) in [(0, (1, 1)), (4, (1, 5)), (6, (2, 1)), (8, (2, 2)), (99, (3, 1))] {
            assert_eq!(LineStarts::of(text).position(offset), expected, "{offset}");
        }
        assert_eq!(LineStarts::of("").position(0), (1, 1));
    }

    #[test]
    fn messages() {
        let table = [
            (
                "unknown field `tmeout`, expected one of `idle`, `timeout`",
                "unknown key `tmeout`, `timeout` perhaps: there are idle, timeout",
            ),
            ("unknown field `x`, expected `idle` or `timeout`", "unknown key `x`: there are idle, timeout"),
            ("missing field `kind`", "missing key `kind`"),
            ("one\ntwo", "one, two"),
        ];
        for (message, expected) in table {
            assert_eq!(readable(message), expected);
        }
    }
}
