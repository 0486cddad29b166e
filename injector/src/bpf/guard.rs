//! The `guard` program that this host refuses: permanently, or only now.

use std::io;

use thiserror::Error;

use injector_common::names;

/// This host never takes the guard as it is: its kernel can't, or a program of
/// others on the cgroup admits no other.
#[derive(Clone, Copy, Debug, Error)]
#[error("the guard over applications' own calls of setsockopt is refused")]
pub(crate) struct GuardRefused;

/// The error that a program was not loaded or attached, by name: of the guard, and for good, it is a [`GuardRefused`].
/// A temporary failure is not one.
pub(super) fn refused(program: &str, error: anyhow::Error) -> anyhow::Error {
    let errno = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).find_map(io::Error::raw_os_error);
    match errno {
        _ if program != names::GUARD => error,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EAGAIN | libc::EINTR) => error,
        _ => error.context(GuardRefused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_no_refusal() {
        for (errno, expected) in [
            (libc::EINVAL, true),
            (libc::EPERM, true),
            (libc::E2BIG, true),
            (libc::EMFILE, false),
            (libc::ENOMEM, false),
        ] {
            let error = || anyhow::Error::from(io::Error::from_raw_os_error(errno)).context("attaching");
            assert_eq!(refused(names::GUARD, error()).is::<GuardRefused>(), expected, "{errno}");
            assert!(!refused(names::INGRESS, error()).is::<GuardRefused>());
        }
    }
}
