//! Words of the command line that have a form of their own.

use injector::internals::{
    HopArg, Listen, Pattern, PinDir, Server, Warn, exact, generation, parse_duration, parse_prefix,
};

/// A word a line. What is read is written so that it is read again as the same.
pub fn arguments(bytes: &[u8]) {
    for word in super::lines(bytes) {
        if let Ok(hop) = word.parse::<HopArg>() {
            assert_eq!(hop.to_string().parse(), Ok(hop.clone()), "{word}");
            if let Ok(hop) = hop.hop() {
                assert!(hop.kind.facts().range.contains(hop.timeout), "{word}");
            }
        }
        if let Ok(prefix) = parse_prefix(&word) {
            assert_eq!(parse_prefix(&prefix.to_string()), Ok(prefix), "{word}");
        }
        if let Ok(duration) = parse_duration(&word) {
            assert_eq!(parse_duration(&exact(duration)), Ok(duration), "{word}");
        }
        if let Ok(server) = word.parse::<Server>() {
            assert_eq!(server.to_string().parse(), Ok(server), "{word}");
        }
        if let Ok(pins) = PinDir::named(&word) {
            assert!(pins.path().ends_with(&word) && !word.contains(['/', '.']), "{word}");
        }
        drop(word.parse::<Warn>());
        drop(word.parse::<Listen>());
        drop(word.parse::<Pattern>());
        let _ = generation(&word);
    }
}
