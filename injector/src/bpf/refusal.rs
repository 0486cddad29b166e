//! Why the kernel refuses maps and programs: for lack of privilege, for lack of support, or only at the moment.

use std::io;

use aya::programs::ProgramError;

use crate::{
    bpf::features::{self, Feature},
    error::Error,
};

/// The kernel's own `ENOTSUPP` (include/linux/errno.h), which is not meant to
/// get out, and does.
const ENOTSUPP: i32 = 524;

/// The meaning of an errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// A privilege is missing.
    Privilege,
    /// This kernel does not support it.
    Unsupported,
    /// It may work another time.
    Passing,
}

/// The error that a program was not loaded. The verifier's log is long; the last
/// line before its statistics says why. `feature` is the one that has the program
/// loaded, if it is not for all.
pub(super) fn of_program(program: &str, feature: Option<&Feature>, error: ProgramError) -> anyhow::Error {
    let what = format!("loading the program {program}");
    let ProgramError::LoadError { io_error, verifier_log } = &error else {
        return of(&what, feature, error.into());
    };
    let log = verifier_log.to_string();
    tracing::debug!("verifier log of {program}:\n{log}");
    let Some(reason) = verdict(&log) else {
        return of(&what, feature, error.into());
    };
    let why = verified(io_error.raw_os_error());
    classify(&what, feature, anyhow::anyhow!("{io_error} (verifier: {reason})"), why)
}

/// The error that `what` was refused.
pub(super) fn of(what: &str, feature: Option<&Feature>, error: anyhow::Error) -> anyhow::Error {
    let errno = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).find_map(io::Error::raw_os_error);
    let why = why(errno);
    classify(what, feature, error, why)
}

/// Without an errno it was not the kernel that refused: something that is looked
/// for in it is not there.
const fn why(errno: Option<i32>) -> Why {
    match errno {
        Some(libc::EPERM | libc::EACCES) => Why::Privilege,
        None | Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP | libc::E2BIG | ENOTSUPP) => Why::Unsupported,
        Some(_) => Why::Passing,
    }
}

/// The same for the verifier, whose EACCES does not mean a missing privilege.
const fn verified(errno: Option<i32>) -> Why {
    match errno {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EAGAIN | libc::EINTR) => Why::Passing,
        _ => Why::Unsupported,
    }
}

fn verdict(log: &str) -> Option<&str> {
    let is_statistic = |line: &&str| {
        line.trim().is_empty()
            || ["verification time", "stack depth", "processed "].iter().any(|start| line.starts_with(start))
    };
    log.lines().rev().find(|line| !is_statistic(line))
}

fn classify(what: &str, feature: Option<&Feature>, error: anyhow::Error, why: Why) -> anyhow::Error {
    match why {
        Why::Passing => error.context(format!("the kernel refused {what}")),
        Why::Privilege => error.context(Error::Privilege {
            what: format!("the kernel denied {what}"),
            cure: "run injector as root outside user namespaces; seccomp, lockdown or an LSM may deny bpf(2) too"
                .to_owned(),
        }),
        Why::Unsupported => error.context(Error::Unsupported {
            what: feature.map_or_else(|| format!("the kernel refused {what}"), |it| it.needs(&features::release())),
            cure: match feature {
                Some(_) => format!("attach without it; the kernel refused {what}"),
                None => "`injector doctor` reports what is missing; 5.10 is the oldest kernel that works".to_owned(),
            },
        }),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;
    use crate::error::Code;

    #[test]
    fn the_verdict_stands_before_the_statistics() {
        let log = "470: (57) r3 &= -4\nR3 bitwise operator &= on pointer prohibited\nverification time 4812 usec\n\
                   stack depth 312\nprocessed 678 insns (limit 1000000)\n\n";
        assert_eq!(verdict(log), Some("R3 bitwise operator &= on pointer prohibited"));
        assert_eq!(verdict("processed 0 insns\n"), None);
    }

    #[test]
    fn only_what_lasts_is_a_matter_of_the_host() {
        let code = |error: &anyhow::Error| error.downcast_ref::<Error>().map_or(Code::Failure, Error::code);
        for (errno, expected) in [
            (libc::EPERM, Code::Privilege),
            (libc::EACCES, Code::Privilege),
            (libc::EINVAL, Code::Unsupported),
            (libc::ENOSYS, Code::Unsupported),
            (libc::EOPNOTSUPP, Code::Unsupported),
            (ENOTSUPP, Code::Unsupported),
            (libc::E2BIG, Code::Unsupported),
            (libc::EMFILE, Code::Failure),
            (libc::ENFILE, Code::Failure),
            (libc::ENOMEM, Code::Failure),
            (libc::EAGAIN, Code::Failure),
            (libc::ENOSPC, Code::Failure),
        ] {
            let cause = anyhow::Error::from(io::Error::from_raw_os_error(errno)).context("outer");
            assert_eq!(code(&of("it", None, cause)), expected, "{errno}");
        }
        assert_eq!(code(&of("it", None, anyhow!("no such type in BTF"))), Code::Unsupported);
    }

    #[test]
    fn the_verifier_may_be_out_of_something_too() {
        for (errno, expected) in [
            (Some(libc::EACCES), Why::Unsupported),
            (Some(libc::EINVAL), Why::Unsupported),
            (None, Why::Unsupported),
            (Some(libc::EMFILE), Why::Passing),
            (Some(libc::ENOMEM), Why::Passing),
            (Some(libc::EAGAIN), Why::Passing),
        ] {
            assert_eq!(verified(errno), expected, "{errno:?}");
        }
    }
}
