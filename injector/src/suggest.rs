//! What may have been meant by a word that does not exist.

/// The closest of `words`, if any is close enough to be a typing error or the
/// start of a word.
pub(crate) fn nearest<'a>(given: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let given = plain(given);
    let distance = |word: &str| match plain(word) {
        word if given.len() >= 2 && word.starts_with(&given) => 0,
        word => strsim::damerau_levenshtein(&given, &word),
    };
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
            ("user", Some("user_timeout")),
            ("colour", None),
            ("", None),
        ];
        for (given, expected) in table {
            assert_eq!(nearest(given, words), expected, "{given}");
        }
    }
}
