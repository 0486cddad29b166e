//! The values of settings and policies.

use std::{
    fmt::{self, Display, Formatter},
    str::FromStr,
    time::Duration,
};

use clap::ValueEnum;
use injector_common::conflict::{ENFORCE, RESPECT, TIGHTEN};

use crate::units;

/// The cloud to discover hops from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Discover {
    /// None; overrides the file.
    #[default]
    None,
    /// Amazon Web Services: network interfaces of this instance, and Network Load Balancers.
    Aws,
}

/// When to warn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warn {
    /// Share of the limit.
    Percent(u32),
    /// Idle time.
    Idle(Duration),
}

/// The form that [`FromStr`] reads.
impl Display for Warn {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(formatter, "{percent}%"),
            Self::Idle(idle) => formatter.write_str(&units::exact(*idle)),
        }
    }
}

impl FromStr for Warn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_suffix('%') {
            Some(number) => number
                .parse()
                .map(Self::Percent)
                .map_err(|_| format!("invalid share {text:?}: expected 80% or a duration")),
            None => units::parse(text).map(Self::Idle),
        }
    }
}

/// Which value applies when an application sets keepalive itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnConflict {
    /// The application's; a flow that it leaves without protection is reported.
    Respect,
    /// The stricter one.
    #[default]
    Tighten,
    /// The policy's.
    Enforce,
}

impl OnConflict {
    /// As the programs know it, from [`injector_common::conflict`].
    pub const fn code(self) -> u32 {
        match self {
            Self::Respect => RESPECT,
            Self::Tighten => TIGHTEN,
            Self::Enforce => ENFORCE,
        }
    }
}

/// Source of idle times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Track {
    /// The sockets' own timestamps.
    #[default]
    Sockets,
    /// Every packet as well, which also shows which side probes and which answers; costs time per packet (Linux 5.11).
    Packets,
    /// The same, also on the cgroup of a systemd unit that does not delegate it: its firewall
    /// (`IPAddressDeny=`) will not start beside.
    PacketsRegardless,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warn_marks() {
        assert_eq!("80%".parse(), Ok(Warn::Percent(80)));
        assert_eq!("5m".parse(), Ok(Warn::Idle(Duration::from_secs(300))));
        for text in ["%", "x%", "-1%", "", "soon"] {
            assert!(text.parse::<Warn>().is_err(), "{text}");
        }
    }
}
