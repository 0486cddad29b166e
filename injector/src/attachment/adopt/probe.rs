//! Whether adoption works on this host.

use std::fs;

use rustix::{
    io::Errno,
    process::{ForeignRawFd, PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open},
};

use crate::bpf::preflight::ADOPTION_NEEDS;

/// A descriptor that no process has.
const NO_DESCRIPTOR: ForeignRawFd = i32::MAX as ForeignRawFd;
const PTRACE_SCOPE: &str = "/proc/sys/kernel/yama/ptrace_scope";
/// `YAMA_SCOPE_NO_ATTACH`: no process may inspect another, whatever its privileges.
const NO_ATTACH: &str = "3";

/// Asks for a descriptor that this process does not have, which shows whether
/// the kernel has the call; checks what else is needed for other processes.
///
/// Errors with the reason, for people to read.
pub(crate) fn probe() -> Result<(), String> {
    let asked = pidfd_open(getpid(), PidfdFlags::empty())
        .and_then(|pidfd| pidfd_getfd(pidfd, NO_DESCRIPTOR, PidfdGetfdFlags::empty()));
    let scope = fs::read_to_string(PTRACE_SCOPE).unwrap_or_default();
    let missing: Vec<_> = ADOPTION_NEEDS.iter().filter(|need| !need.is_met()).map(|need| need.name).collect();
    judge(asked.err(), scope.trim(), &missing)
}

fn judge(refused: Option<Errno>, ptrace_scope: &str, missing: &[&str]) -> Result<(), String> {
    match refused {
        None | Some(Errno::BADF) => {}
        Some(Errno::NOSYS) => return Err("there is no pidfd_getfd, or seccomp hides it".to_owned()),
        Some(other) => return Err(format!("pidfd_getfd: {}", std::io::Error::from(other))),
    }
    if ptrace_scope == NO_ATTACH {
        return Err(format!("{PTRACE_SCOPE} is {NO_ATTACH} until the next boot"));
    }
    if missing.is_empty() { Ok(()) } else { Err(format!("{} missing", missing.join(" and "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_obstacle_is_reported() {
        let both = ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"];
        for (refused, scope, missing, expected) in [
            (Some(Errno::BADF), "", &[][..], None),
            (Some(Errno::BADF), "2", &[], None),
            (Some(Errno::NOSYS), "3", &both, Some("there is no pidfd_getfd, or seccomp hides it")),
            (Some(Errno::PERM), "", &[], Some("pidfd_getfd: Operation not permitted (os error 1)")),
            (Some(Errno::BADF), "3", &both, Some("/proc/sys/kernel/yama/ptrace_scope is 3 until the next boot")),
            (Some(Errno::BADF), "1", &both, Some("CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH missing")),
        ] {
            let found = judge(refused, scope, missing).err();
            assert_eq!(found.as_deref(), expected, "{refused:?} {scope} {missing:?}");
        }
    }
}
