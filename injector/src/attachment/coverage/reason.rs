//! Why a connection has no record, and the remedy.

use std::fmt;

use serde::Serialize;

/// Why a connection has no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It was opened before the attachment. Before 5.11 the kernel does not report a socket's cgroup: then its process
    /// is older than the attachment, so it may be, too.
    BeforeAttach,
    /// Its socket was made in another cgroup, or accepted by a listener that
    /// was.
    OtherCgroup,
    /// It was opened before, and is beneath a Multipath TCP socket: adoption sets
    /// keepalive, but can't give it a record.
    Mptcp,
    /// A thread with a descriptor table of its own holds it, from which sockets
    /// can be taken since 6.9.
    ThreadTable,
    /// No process has a descriptor of it: it is registered with `io_uring`, in flight from one process to another, or
    /// the kernel's own.
    NoDescriptor,
    /// A process of the cgroup that injector may not inspect holds it, most likely.
    Hidden,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::BeforeAttach, Self::OtherCgroup, Self::Mptcp, Self::ThreadTable, Self::NoDescriptor, Self::Hidden];

    /// Its name, as in JSON and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BeforeAttach => "before_attach",
            Self::OtherCgroup => "other_cgroup",
            Self::Mptcp => "mptcp",
            Self::ThreadTable => "thread_table",
            Self::NoDescriptor => "no_descriptor",
            Self::Hidden => "hidden",
        }
    }

    /// How many there are, and the remedy. `name` is that of the attachment.
    pub fn sentence(self, count: u64, name: &str) -> String {
        let connections = Counted(count);
        match self {
            Self::BeforeAttach => {
                format!(
                    "{connections} opened before the attachment (`injector adopt --name {name}` or `attach --existing` adopts them)"
                )
            }
            Self::OtherCgroup => format!(
                "{connections} with a socket or listener of another cgroup (`injector adopt --name {name}` adopts them)"
            ),
            Self::Mptcp => format!(
                "{count} MPTCP connections opened before the attachment, which can't be watched: `--existing` sets \
                 keepalive on them where the kernel lets it, and those opened from now on are covered"
            ),
            Self::ThreadTable => format!(
                "{connections} held by threads with descriptor tables of their own, which can't be adopted before Linux 6.9: \
                 restart their processes"
            ),
            Self::NoDescriptor => format!(
                "{connections} that no process shows a descriptor of (io_uring, or the kernel's own), which can't be \
                 adopted: those opened from now on are covered"
            ),
            Self::Hidden => {
                format!(
                    "{connections} of processes that injector may not inspect (needs CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH)"
                )
            }
        }
    }
}

/// `1 connection`, `2 connections`.
struct Counted(u64);

impl fmt::Display for Counted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count) = self;
        write!(formatter, "{count} connection{}", if *count == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_json() {
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).expect("text"), reason.name());
            let sentence = reason.sentence(2, "web");
            let is_adoptable = matches!(reason, Reason::BeforeAttach | Reason::OtherCgroup);
            assert_eq!(sentence.contains("injector adopt"), is_adoptable, "{sentence}");
        }
    }
}
