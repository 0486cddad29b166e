//! Counters of the `keepalive` program: every socket it sees ends in exactly
//! one outcome, and every option the kernel refused is counted by errno.

/// The application called `connect`.
pub const ACTIVE: u8 = 0;
/// The application accepted the connection.
pub const PASSIVE: u8 = 1;
/// How many directions there are.
pub const DIRECTIONS: u32 = 2;

/// The policy's parameters were set.
pub const INJECTED: u8 = 0;
/// The application's parameters were brought within the policy.
pub const TIGHTENED: u8 = 1;
/// The application's own settings stay: its keepalive serves, or its user
/// timeout leaves no room for any.
pub const RESPECTED: u8 = 2;
/// The policy leaves the socket alone.
pub const EXEMPT: u8 = 3;
/// At least one option was refused; see the failure counters.
pub const FAILED: u8 = 4;
/// The flow record could not be created (memory): the socket has keepalive,
/// but no scan will see it.
pub const NO_STORAGE: u8 = 5;
/// How many outcomes there are.
pub const OUTCOMES: u32 = 6;
/// Names of the outcomes, in the order of their values.
pub const OUTCOME_NAMES: [&str; OUTCOMES as usize] =
    ["injected", "tightened", "respected", "exempt", "failed", "no_storage"];

/// Options a socket may refuse, by their index in the failure counters.
pub const OPTION_NAMES: [&str; OPTIONS as usize] =
    ["SO_KEEPALIVE", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT"];
/// Index of `SO_KEEPALIVE`.
pub const OPTION_KEEPALIVE: u8 = 0;
/// Index of `TCP_KEEPIDLE`.
pub const OPTION_IDLE: u8 = 1;
/// Index of `TCP_KEEPINTVL`.
pub const OPTION_INTERVAL: u8 = 2;
/// Index of `TCP_KEEPCNT`.
pub const OPTION_PROBES: u8 = 3;
/// Index of `TCP_USER_TIMEOUT`.
pub const OPTION_USER_TIMEOUT: u8 = 4;
/// How many options there are.
pub const OPTIONS: u32 = 5;

/// Errnos counted apart; anything above falls into the last one.
pub const ERRNOS: u32 = 134;

/// Sockets whose own choice could not be read; they were injected.
pub const UNREADABLE: u32 = DIRECTIONS * OUTCOMES;
const FAILURES: u32 = UNREADABLE + 1;
const OVERRULED: u32 = FAILURES + OPTIONS * ERRNOS;
/// Entries of the counter array.
pub const COUNTERS: u32 = OVERRULED + OPTIONS;

/// Where sockets of `direction` that ended in `outcome` are counted.
#[inline(always)]
pub const fn outcome_index(direction: u8, outcome: u8) -> u32 {
    direction as u32 * OUTCOMES + outcome as u32
}

/// Where refusals of `option` with `errno` are counted.
#[inline(always)]
pub const fn failure_index(option: u8, errno: u32) -> u32 {
    let errno = if errno < ERRNOS { errno } else { ERRNOS - 1 };
    FAILURES + option as u32 * ERRNOS + errno
}

/// Where calls of applications that set `option` to something else than the
/// policy allows are counted.
#[inline(always)]
pub const fn overruled_index(option: u8) -> u32 {
    OVERRULED + option as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_counters_share_an_index() {
        let mut seen = [false; COUNTERS as usize];
        let outcomes = (0..2).flat_map(|d| (0..6).map(move |o| outcome_index(d, o)));
        let failures = (0..5).flat_map(|o| (0..ERRNOS).map(move |e| failure_index(o, e)));
        let overruled = (0..5).map(overruled_index);
        for index in outcomes.chain(failures).chain(overruled).chain([UNREADABLE]) {
            assert!(!core::mem::replace(&mut seen[index as usize], true), "index {index}");
        }
        assert!(seen.iter().all(|&used| used));
    }

    #[test]
    fn an_unknown_errno_stays_within_its_option() {
        assert_eq!(failure_index(OPTION_IDLE, 4095), failure_index(OPTION_IDLE, ERRNOS - 1));
    }
}
