//! Values that arguments take.

use clap::ValueEnum;

/// Forms of a configuration.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum FileFormat {
    /// A configuration file.
    #[default]
    Toml,
    /// For programs.
    Json,
}

/// Orders of a list of flows.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Sort {
    /// Least time left first.
    Remaining,
    /// Longest idle first.
    Idle,
    /// Oldest first.
    Opened,
}
