//! Exit codes, and the errors that decide on them.

use std::{io, path::PathBuf, process::ExitCode};

use thiserror::Error;

/// Exit codes. The values are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Done.
    Ok = 0,
    /// Something went wrong.
    Failure = 1,
    /// An argument is not acceptable.
    Usage = 2,
    /// This host can't do it.
    Unsupported = 3,
    /// A privilege is missing.
    Privilege = 4,
    /// Done, and there are findings.
    Findings = 5,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Why a configuration file is rejected.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// It can't be read.
    #[error("{}: can't be read: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Others than root and us may have written it.
    #[error("{}: refused, since {why}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        why: String,
    },
    /// Something in it is wrong.
    #[error("{}:{line}:{column}: {message}", path.display())]
    At {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// What is wrong, and what would be right.
        message: String,
    },
}

/// An error whose kind decides on the exit code. Everything else exits with
/// [`Code::Failure`].
#[derive(Debug, Error)]
pub enum Error {
    /// A value outside its range.
    #[error("{what} is {value}: {expected}")]
    BadValue {
        /// The option or setting.
        what: &'static str,
        /// What was given.
        value: String,
        /// What would be right, and why.
        expected: String,
    },
    /// The configuration file is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The path leads nowhere.
    #[error("no cgroup at {}: {hint}", path.display())]
    NoSuchCgroup {
        /// Where we looked.
        path: PathBuf,
        /// What to try.
        hint: String,
    },
    /// The path leads to something else.
    #[error("{} is not a cgroup v2 directory: {hint}", path.display())]
    NotACgroup {
        /// Where we looked.
        path: PathBuf,
        /// What to try.
        hint: String,
    },
    /// The name is taken.
    #[error(
        "already attached under the name {name:?} (to {cgroup}{}): `injector detach --name {name}` first, or choose another --name",
        if *watched { ", and watched by a process" } else { "" }
    )]
    AlreadyAttached {
        /// The name.
        name: String,
        /// The cgroup it is attached to.
        cgroup: String,
        /// Whether a living process watches it.
        watched: bool,
    },
    /// Nothing has that name.
    #[error("nothing is attached under the name {name:?}: `injector status` lists what is")]
    NotAttached {
        /// The name.
        name: String,
    },
    /// No attachment belongs to that cgroup.
    #[error("nothing is attached to {cgroup}: `injector status` lists what is")]
    CgroupNotAttached {
        /// The cgroup.
        cgroup: String,
    },
    /// The cgroup of an attachment is gone, and with it what was attached.
    #[error(
        "nothing is attached: the cgroup was removed{} ({cgroup}, attachment {name:?}): run `injector attach --cgroup {cgroup}` \
         again, with --follow to attach again each time",
        if *is_recreated { " and recreated" } else { "" }
    )]
    CgroupRemoved {
        /// Name of the attachment.
        name: String,
        /// Path of the cgroup, relative to the mount.
        cgroup: String,
        /// Whether another cgroup has its path now.
        is_recreated: bool,
    },
    /// The programs of an attachment were detached from their hooks, and its pins left.
    #[error(
        "nothing is attached: the programs of {name:?} were detached from {cgroup}, and only their pins are left: run \
         `injector attach --cgroup {cgroup} --name {name}` again, or `injector detach --name {name}`"
    )]
    OffItsHook {
        /// Name of the attachment.
        name: String,
        /// Path of the cgroup, relative to the mount.
        cgroup: String,
    },
    /// Something lies where our pins are that isn't ours.
    #[error("refused {}: {why}", path.display())]
    Refused {
        /// What.
        path: PathBuf,
        /// Why, and what to do.
        why: String,
    },
    /// Another process holds a lock, and does not release it.
    #[error("{} is locked by {holder}: {cure}", path.display())]
    Held {
        /// What is locked.
        path: PathBuf,
        /// The process that holds it.
        holder: String,
        /// What to do.
        cure: String,
    },
    /// A foreign program conflicts, or would stop running.
    #[error("not attached to the {hook} hook, because of what is on {}: {why}; {cure}", cgroup.display())]
    Neighbour {
        /// The hook.
        hook: &'static str,
        /// The cgroup that the program is on.
        cgroup: PathBuf,
        /// Which program it is, and what it does not allow.
        why: String,
        /// What to do.
        cure: String,
    },
    /// The host lacks something.
    #[error("not possible on this host: {what}; {cure}")]
    Unsupported {
        /// What is missing.
        what: String,
        /// What to do.
        cure: String,
    },
    /// The reader of stdout has gone. Only the writer of stdout makes it.
    #[error("stdout was closed")]
    StdoutClosed,
    /// stdout can't be written to. Only the writer of stdout makes it.
    #[error("writing to stdout: {cause}; {cure}")]
    Stdout {
        /// Why.
        cause: io::Error,
        /// What to do.
        cure: &'static str,
    },
    /// The process lacks a privilege.
    #[error("not permitted: {what}; {cure}")]
    Privilege {
        /// What needs it.
        what: String,
        /// What to do.
        cure: String,
    },
}

impl Error {
    /// The exit code of `error`, under any context: [`Code::Failure`] where it has no kind of its own.
    pub fn code_of(error: &anyhow::Error) -> Code {
        // Sees through any context, and finds a kind that was itself added as one.
        error.downcast_ref::<Self>().map_or(Code::Failure, Self::code)
    }

    /// Whether `error` is that something isn't ours.
    pub fn is_refusal(error: &anyhow::Error) -> bool {
        matches!(error.downcast_ref(), Some(Self::Refused { .. }))
    }

    /// Whether `error` is that another process holds a lock: it may be free the next time.
    pub fn is_held(error: &anyhow::Error) -> bool {
        matches!(error.downcast_ref(), Some(Self::Held { .. }))
    }

    /// The exit code of this kind of error.
    pub const fn code(&self) -> Code {
        match self {
            Self::BadValue { .. } | Self::Config(_) | Self::NoSuchCgroup { .. } | Self::NotACgroup { .. } => {
                Code::Usage
            }
            // Its reader has seen enough.
            Self::StdoutClosed => Code::Ok,
            Self::AlreadyAttached { .. }
            | Self::NotAttached { .. }
            | Self::CgroupNotAttached { .. }
            | Self::CgroupRemoved { .. }
            | Self::OffItsHook { .. }
            | Self::Refused { .. }
            | Self::Held { .. }
            | Self::Neighbour { .. }
            | Self::Stdout { .. } => Code::Failure,
            Self::Unsupported { .. } => Code::Unsupported,
            Self::Privilege { .. } => Code::Privilege,
        }
    }
}

/// Whether `error` is that the reader of stdout has gone. A pipe or connection of anything else that closes is an error.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Error::StdoutClosed))
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn the_kind_survives_added_context() {
        let kind = Error::NotAttached { name: "x".to_owned() };
        let error = Err::<(), _>(kind).context("while detaching").expect_err("an error");
        assert_eq!(Error::code_of(&error), Code::Failure);
        let kind = Error::Privilege { what: "bpf".to_owned(), cure: "be root".to_owned() };
        assert_eq!(Error::code_of(&anyhow::Error::from(kind).context("outer")), Code::Privilege);
        let kind = Error::Unsupported { what: "old kernel".to_owned(), cure: "a newer one".to_owned() };
        assert_eq!(Error::code_of(&anyhow::anyhow!("EINVAL").context(kind).context("outer")), Code::Unsupported);
    }

    #[test]
    fn only_stdout_that_is_closed_is_no_error() {
        let closed = anyhow::Error::from(Error::StdoutClosed).context("writing");
        assert!(is_closed_pipe(&closed) && Error::code_of(&closed) == Code::Ok);
        let server = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("asking the agent");
        assert!(!is_closed_pipe(&server) && Error::code_of(&server) == Code::Failure);
    }
}
