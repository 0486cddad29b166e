//! Words of the command line that have a form of their own.

use injector::{
    agent::Listen,
    bpf::pins::PinDir,
    cli::remote::Server,
    discovery::aws::family::generation,
    hop::{HopArg, parse_prefix},
    host::cgroup::Pattern,
    rules::values::Warn,
    units,
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
        if let Ok(duration) = units::parse(&word) {
            assert_eq!(units::parse(&units::exact(duration)), Ok(duration), "{word}");
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
