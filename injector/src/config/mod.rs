//! The configuration file: hops, the applications behind them, and what
//! `attach` is to do, in TOML.
//!
//! ```text
//! text -> raw (types and positions) -> resolve (values and checks) -> Config
//! ```
//!
//! Every error names file, line and column.

mod agent;
mod error;
mod policies;
mod raw;
mod resolve;
mod show;
mod values;

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::Path,
    str,
    time::Duration,
};

pub(crate) use agent::{Agent, OnExit};
pub use show::to_toml;
pub(crate) use show::{cloud, rule, source};

use rustix::process::geteuid;

use crate::{
    error::ConfigError,
    hop::{Hop, Scope, Source},
    host::trust,
    rules::{policy::Policy, settings::Settings},
};

/// A file with everything in it explained, as `injector config default`
/// prints it.
pub(crate) const DEFAULT: &str = include_str!("default.toml");

/// A configuration, resolved and checked.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What `attach` is to do.
    pub attach: Settings,
    /// What `run` is to do in addition.
    pub agent: Agent,
    /// The policies, in the order of the file, which is their precedence.
    pub policies: Vec<Policy>,
    /// The hops, in the order of the file.
    pub hops: Vec<Hop>,
    /// The applications, in the order of the file.
    pub applications: Vec<Application>,
}

/// An application, and how it treats idle connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// What the user calls it.
    pub name: String,
    /// Idle time after which it closes a connection itself; `None` where it never does.
    pub idle: Option<Duration>,
    /// The keepalive it sets; `None` where it leaves that alone.
    pub keepalive: Option<ApplicationKeepalive>,
    /// Where its connections go.
    pub scope: Scope,
    /// Where it is configured.
    pub source: Source,
}

/// Keepalive that an application sets. Values that it does not set come from the sysctls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplicationKeepalive {
    /// `TCP_KEEPIDLE`.
    pub idle: Option<Duration>,
    /// `TCP_KEEPINTVL`.
    pub interval: Option<Duration>,
    /// `TCP_KEEPCNT`.
    pub probes: Option<u32>,
    /// `TCP_USER_TIMEOUT`.
    pub user_timeout: Option<Duration>,
}

/// The content of a file, and whether others may have written it.
#[derive(Debug)]
pub struct Contents {
    /// The content.
    pub bytes: Vec<u8>,
    objection: Option<String>,
}

impl Contents {
    /// Reads the file at `path`, and follows links: what counts is the owner and mode of the file that is read. A
    /// replacement would have an owner of its own.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        // The content of a device was not written by other users.
        let objection = (!metadata.file_type().is_char_device())
            .then(|| trust::objection(metadata.mode(), metadata.uid(), geteuid().as_raw()));
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Self { bytes, objection: objection.flatten() })
    }
}

impl Config {
    /// Reads the file at `path`.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::of(path, Contents::read(path))
    }

    /// Takes the content of `path`.
    ///
    /// Errors with [`ConfigError::Refused`] where others may have written it.
    pub fn of(path: &Path, read: io::Result<Contents>) -> Result<Self, ConfigError> {
        let path_of = || path.to_owned();
        let Contents { bytes, objection } = read.map_err(|cause| ConfigError::Read { path: path_of(), cause })?;
        match objection {
            Some(why) => Err(ConfigError::Refused { path: path_of(), why }),
            None => Self::parse(path, &bytes),
        }
    }

    /// Parses what was read from `path`.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ConfigError> {
        let text = str::from_utf8(bytes).map_err(|error| error::not_text(path, bytes, error.valid_up_to()))?;
        let raw = toml::from_str(text).map_err(|error| error::syntax(path, text, &error))?;
        resolve::resolve(&raw, path, text)
    }
}

#[cfg(test)]
mod tests;
