//! What may have been meant by a word that does not exist.

/// The closest of `words`, if any is close enough to be a typing error.
pub fn nearest<'a>(given: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance =
        |word: &str| strsim::damerau_levenshtein(&given.to_lowercase().replace('-', "_"), &word.replace('-', "_"));
    let (edits, word) = words.into_iter().map(|word| (distance(word), word)).min_by_key(|(edits, _)| *edits)?;
    (edits <= 1 + word.len() / 4).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors() {
        let words = ["timeout", "idle", "user_timeout", "on_conflict"];
        let table = [
            ("tmeout", Some("timeout")),
            ("Timeout", Some("timeout")),
            ("user-timeout", Some("user_timeout")),
            ("onconflict", Some("on_conflict")),
            ("iddle", Some("idle")),
            ("colour", None),
            ("", None),
        ];
        for (given, expected) in table {
            assert_eq!(nearest(given, words), expected, "{given}");
        }
    }
}
