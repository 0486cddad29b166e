//! Text of others for people to read: processes, cgroups, mounts and servers choose names, and a name is any bytes.
//!
//! Whatever a name holds, a line stays one line and no name rules the terminal. So nothing of others is written to stdout,
//! stderr or the log but by [`printable`]. JSON has escapes of its own for most of this; see [`json`] for the rest.

use std::fmt::Write as _;

/// `text` on one line: control characters and those that reorder or break lines become escapes, as `\n` or `\u{1b}`.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if is_plain(char) {
            shown.push(char);
        } else {
            shown.extend(char.escape_default());
        }
    }
    shown
}

/// The same for text that we laid out in lines and columns of [`printable`] parts: line ends and tabs stay.
pub(crate) fn printable_lines(text: &str) -> String {
    text.split('\n')
        .map(|line| line.split('\t').map(printable).collect::<Vec<_>>().join("\t"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// JSON that a terminal may be shown: what JSON leaves as it is in strings, the only place for it, is escaped as well.
pub(crate) fn json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if is_plain(char) || char == '\n' {
            shown.push(char);
        } else {
            // Writing to a string can't fail.
            let _ = write!(shown, "\\u{:04x}", u32::from(char));
        }
    }
    shown
}

/// Whether a terminal shows the character where it stands. Marks of direction (Unicode's `Bidi_Control`) show other text
/// than there is; U+2028 and U+2029 end lines for some readers.
fn is_plain(char: char) -> bool {
    !char.is_control()
        && !matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_stays_on_its_line() {
        let table = [
            ("plain name", "plain name"),
            ("é\u{4e2d}", "é\u{4e2d}"),
            ("x\ninjector: ok", "x\\ninjector: ok"),
            ("a\x1b[31mb\r\tc", "a\\u{1b}[31mb\\r\\tc"),
            ("\u{9b}2J\u{7f}", "\\u{9b}2J\\u{7f}"),
            ("\u{202e}gnp.exe\u{2028}", "\\u{202e}gnp.exe\\u{2028}"),
        ];
        for (text, expected) in table {
            assert_eq!(printable(text), expected);
        }
        assert_eq!(printable_lines("a\n\tb\x1b[2J"), "a\n\tb\\u{1b}[2J");
    }

    proptest! {
        #[test]
        fn nothing_gets_through(text: String) {
            prop_assert!(printable(&text).chars().all(is_plain));
            prop_assert!(printable_lines(&text).chars().all(|char| is_plain(char) || "\n\t".contains(char)));
        }

        #[test]
        fn json_says_the_same(text: String) {
            let written = json(&serde_json::to_string(&text).expect("JSON"));
            prop_assert!(written.chars().all(is_plain));
            prop_assert_eq!(serde_json::from_str::<String>(&written).expect("JSON"), text);
        }
    }
}
