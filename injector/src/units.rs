//! Durations and moments as people write and read them.

use std::time::{Duration, UNIX_EPOCH};

/// The last second of the year 9999, which is as far as RFC 3339 goes.
const LAST_SECOND: u64 = 253_402_300_799;

/// Parses `240s`, `4m`, `1h30m`, `500ms`, or bare seconds.
///
/// Errors with a sentence that names these forms.
pub fn parse(text: &str) -> Result<Duration, String> {
    let duration = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok().map(Duration::from_secs)
    } else {
        humantime::parse_duration(text).ok()
    };
    duration.ok_or_else(|| format!("invalid duration {text:?}: expected 240s, 4m, 1h30m, 500ms or bare seconds"))
}

/// Writes a duration as a setting, the way [`parse`] reads it: `350s`, `1500ms`. One quantity has one spelling, however long it is.
pub fn exact(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 {
        format!("{}s", duration.as_secs())
    } else if duration.subsec_nanos().is_multiple_of(1_000_000) {
        format!("{}ms", duration.as_millis())
    } else {
        humantime::format_duration(duration).to_string().replace(' ', "")
    }
}

/// Beyond an hour, seconds say little.
const HOUR_S: u64 = 3600;

/// Writes milliseconds in the few characters a table has: `3.2s`, `350s`, `1h30m`; negative where something lies in the past.
pub(crate) fn short(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    let seconds = ms / 1000;
    if ms < 10_000 {
        format!("{sign}{seconds}.{}s", ms % 1000 / 100)
    } else if seconds <= HOUR_S {
        format!("{sign}{seconds}s")
    } else {
        let minutes = Duration::from_secs(seconds / 60 * 60);
        format!("{sign}{}", humantime::format_duration(minutes).to_string().replace(' ', ""))
    }
}

/// Writes a moment given in milliseconds since the Unix epoch, in UTC, to the second (RFC 3339).
pub fn moment(unix_ms: u64) -> String {
    let seconds = Duration::from_secs((unix_ms / 1000).min(LAST_SECOND));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + seconds).to_string()
}

/// Writes milliseconds that have passed, as [`short`] does.
pub(crate) fn elapsed(ms: u64) -> String {
    short(ms.try_into().unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms() {
        let table = [
            ("240s", 240_000),
            ("4m", 240_000),
            ("1h30m", 5_400_000),
            ("350", 350_000),
            ("500ms", 500),
            ("1m 30s", 90_000),
        ];
        for (text, ms) in table {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", " ", "s", "4x", "-4s", "4.5.6", "99999999999999999999999", "٣s"] {
            let error = parse(text).expect_err(text);
            assert!(error.contains("1h30m"), "{error}");
        }
    }

    #[test]
    fn settings() {
        let table = [(350_000, "350s"), (1_500, "1500ms"), (432_000_000, "432000s"), (0, "0s"), (90_000, "90s")];
        for (ms, text) in table {
            assert_eq!(exact(Duration::from_millis(ms)), text);
        }
        assert_eq!(exact(Duration::from_nanos(1_000_001)), "1ms1ns");
    }

    #[test]
    fn shortened() {
        let table = [
            (0, "0.0s"),
            (3_250, "3.2s"),
            (42_900, "42s"),
            (350_000, "350s"),
            (3_600_000, "3600s"),
            (5_430_000, "1h30m"),
            (-12_000, "-12s"),
            (-50, "-0.0s"),
        ];
        for (ms, text) in table {
            assert_eq!(short(ms), text);
        }
    }

    #[test]
    fn moments() {
        let table = [(0, "1970-01-01T00:00:00Z"), (1_500, "1970-01-01T00:00:01Z"), (u64::MAX, "9999-12-31T23:59:59Z")];
        for (ms, text) in table {
            assert_eq!(moment(ms), text);
        }
    }

    proptest! {
        #[test]
        fn never_panics(text: String) {
            drop(parse(&text));
        }

        #[test]
        fn exact_comes_back(ns in 0_u64..1_000_000_000_000_000_000) {
            let duration = Duration::from_nanos(ns);
            prop_assert_eq!(parse(&exact(duration)), Ok(duration));
        }
    }
}
