//! Hops: devices on the path of a flow that drop it after some idle time.
//!
//! ```text
//! --hop (parse), --config (crate::config) -> Hop -> compile (what the kernel looks up)
//! ```

mod conflict;
mod half_closed;
mod kind;
mod parse;
mod prefix;
mod scope;

use std::{
    fmt::{self, Display, Formatter},
    path::PathBuf,
    time::Duration,
};

pub(crate) use conflict::{Conflict, conflicts};
pub(crate) use half_closed::half_closed_by_default;
pub(crate) use kind::{Expiry, Kind, Range};
pub use parse::HopArg;
pub use prefix::parse_prefix;
#[cfg(test)]
pub(crate) use scope::Tuple;
pub(crate) use scope::{Direction, Ends, Scope};
use serde::{Serialize, Serializer};
use thiserror::Error;

/// Shortest idle timeout that keepalive can serve: the kernel counts in whole
/// seconds, and one probe must fall below the limit.
pub(crate) const MIN_LIMIT_S: u32 = 2;
/// [`MIN_LIMIT_S`] as a duration.
pub(crate) const MIN_LIMIT: Duration = Duration::from_secs(MIN_LIMIT_S as u64);
/// Longest idle timeout: what fits into 32 bits of milliseconds, in whole
/// days.
pub(crate) const MAX_LIMIT: Duration = Duration::from_secs(49 * 24 * 3600);

/// Longest name of a hop, as DNS labels have it.
pub(crate) const MAX_NAME: usize = 63;

/// A device on the path that drops, resets or closes flows that are idle for longer than [`Self::timeout`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// What the user calls it.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its idle timeout, within the range of its kind.
    pub timeout: Duration,
    /// Which flows it lies on.
    pub scope: Scope,
    /// Where the timeout came from.
    pub source: Source,
}

/// Where a timeout came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `--hop`.
    Flag,
    /// A line of the configuration file.
    File {
        /// The file, as it was given.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Discovered.
    Discovered {
        /// The call that returned it, such as `ec2:DescribeNetworkInterfaces`.
        by: String,
    },
    /// This host's kernel.
    Kernel {
        /// The sysctl.
        sysctl: &'static str,
    },
    /// Not configured: the default of the kind.
    Default,
}

/// What is wrong with a hop. The text is a whole sentence about the value.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HopError {
    /// No name, or one with characters that would not survive a command line.
    #[error("invalid name {0:?} for a hop: expected 1 to 63 letters, digits, '-', '_' or '.'")]
    Name(String),
    /// No such kind.
    #[error("unknown kind of hop {given:?}{}: expected one of {}", hint(*.nearest), Kind::list())]
    Kind {
        /// What was given.
        given: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// A kind without a default.
    #[error("a hop of kind {0} has no default timeout: add one, as in {0}:60s")]
    NoTimeout(Kind),
    /// A timeout that this kind can't have.
    #[error("invalid timeout {}: {kind} {} ({})", crate::units::exact(*.given), .kind.facts().range, .kind.facts().source)]
    Timeout {
        /// What was given.
        given: Duration,
        /// The kind.
        kind: Kind,
    },
}

impl Hop {
    /// A hop whose timeout is `timeout`, or the default of its kind.
    pub fn new(
        name: &str,
        kind: Kind,
        timeout: Option<Duration>,
        scope: Scope,
        source: Source,
    ) -> Result<Self, HopError> {
        check_name(name)?;
        let (timeout, source) = match (timeout, kind.facts().default) {
            (Some(timeout), _) => (timeout, source),
            (None, Some(default)) => (default, Source::Default),
            (None, None) => return Err(HopError::NoTimeout(kind)),
        };
        if !kind.facts().range.contains(timeout) {
            return Err(HopError::Timeout { given: timeout, kind });
        }
        Ok(Self { name: name.to_owned(), kind, timeout, scope, source })
    }

    /// How long it keeps a connection that one side has ended.
    pub fn half_closed(&self) -> Duration {
        half_closed::half_closed(self.kind, self.timeout)
    }

    /// Its timeout in milliseconds; ranges keep it within 32 bits.
    pub fn timeout_ms(&self) -> u32 {
        u32::try_from(self.timeout.as_millis()).unwrap_or(u32::MAX)
    }
}

/// Whether `name` will do for a hop.
pub(crate) fn check_name(name: &str) -> Result<(), HopError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(fits) {
        Ok(())
    } else {
        Err(HopError::Name(name.to_owned()))
    }
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(", {name:?} perhaps")).unwrap_or_default()
}

impl Source {
    /// What kind of source it is, in a word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::File { .. } => "config",
            Self::Discovered { .. } => "discovered",
            Self::Kernel { .. } => "kernel",
            Self::Default => "default",
        }
    }
}

impl Display for Source {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => formatter.write_str("--hop"),
            Self::File { path, line } => write!(formatter, "{}:{line}", path.display()),
            Self::Discovered { by } => write!(formatter, "discovered by {by}"),
            Self::Kernel { sysctl } => write!(formatter, "sysctl {sysctl}"),
            Self::Default => formatter.write_str("default of its kind"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_timeout_is_the_kinds() {
        let hop = Hop::new("x", Kind::Eni, None, Scope::ANYWHERE, Source::Flag).expect("a hop");
        assert_eq!((hop.timeout, hop.source), (Duration::from_secs(350), Source::Default));
        let hop = Hop::new("x", Kind::Eni, Some(Duration::from_secs(60)), Scope::ANYWHERE, Source::Flag);
        assert_eq!(hop.expect("a hop").source, Source::Flag);
        let refused = Hop::new("x", Kind::Custom, None, Scope::ANYWHERE, Source::Flag);
        assert_eq!(refused, Err(HopError::NoTimeout(Kind::Custom)));
    }

    #[test]
    fn names() {
        for name in ["a", "db-1.eu_west", &"x".repeat(63)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "a b", "ä", "a=b", "a/b", &"x".repeat(64)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn sources_say_where() {
        let table = [
            (Source::Flag, "--hop"),
            (Source::File { path: "a.toml".into(), line: 3 }, "a.toml:3"),
            (Source::Discovered { by: "ec2:DescribeNetworkInterfaces".to_owned() }, "discovered by ec2:"),
            (Source::Kernel { sysctl: "net.x" }, "sysctl net.x"),
            (Source::Default, "default of its kind"),
        ];
        for (source, text) in table {
            assert!(source.to_string().starts_with(text), "{source}");
        }
    }
}
