//! What was set on a socket, as its record keeps it, and what its application
//! set since.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    keepalive::{Keepalive, Own, Sysctl},
    stats,
    timer::is_too_short,
};

/// Another attachment covers the socket as well: its rules count, too, and
/// what it had set is what the record has.
pub const NESTED: u8 = 1 << 0;
/// Keepalive was off before.
pub const SWITCHED_ON: u8 = 1 << 1;
/// Nothing was set, as the application's user timeout leaves no room for it.
pub const LEFT_ALONE: u8 = 1 << 2;
/// The guard sees what the application sets: [`Applied::asked`] has all of it.
pub const GUARDED: u8 = 1 << 3;

/// The parameters of [`Keepalive`] in less space, and how they came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Applied {
    /// `TCP_USER_TIMEOUT` in milliseconds; 0 where it was left alone.
    pub user_timeout_ms: u32,
    /// `TCP_KEEPIDLE` in seconds; 0 where nothing was set.
    pub idle_s: u16,
    /// `TCP_KEEPINTVL` in seconds.
    pub interval_s: u16,
    /// The same without an application's user timeout, which may go again.
    pub unfitted_idle_s: u16,
    /// See [`Self::unfitted_idle_s`].
    pub unfitted_interval_s: u16,
    /// `TCP_KEEPCNT`.
    pub probes: u8,
    /// [`NESTED`], [`SWITCHED_ON`], [`LEFT_ALONE`] and [`GUARDED`].
    pub marks: u8,
    /// Options that the application set since and that stood, as bits by their
    /// index in [`stats::OPTION_NAMES`].
    pub asked: u8,
    /// Explicit padding.
    pub padding: u8,
}

const _: () = assert!(size_of::<Applied>() == size_of::<Keepalive>());

/// The bit of an option in [`Applied::asked`].
#[inline(always)]
pub const fn bit(option: u8) -> u8 {
    1 << option
}

impl Applied {
    /// `keepalive`, which is `unfitted` without a user timeout of the application's.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "within the kernel's ranges, which are smaller")]
    pub const fn new(keepalive: &Keepalive, unfitted: &Keepalive, marks: u8) -> Self {
        Self {
            user_timeout_ms: keepalive.user_timeout_ms,
            idle_s: keepalive.idle_s as u16,
            interval_s: keepalive.interval_s as u16,
            unfitted_idle_s: unfitted.idle_s as u16,
            unfitted_interval_s: unfitted.interval_s as u16,
            probes: keepalive.probes as u8,
            marks,
            asked: 0,
            padding: 0,
        }
    }

    /// Where nothing was set. The effective values count nevertheless where another attachment `is_set`: they are not
    /// the application's.
    #[inline(always)]
    pub fn found(own: &Own, sysctl: &Sysctl, unfitted: &Keepalive, is_set: bool, marks: u8) -> Self {
        let found = if is_set { own.effective(sysctl) } else { Keepalive::default() };
        let left_alone = if !own.enabled && is_too_short(own.user_timeout_ms) { LEFT_ALONE } else { 0 };
        let marks = marks & !SWITCHED_ON | left_alone;
        Self::new(&Keepalive { user_timeout_ms: 0, ..found }, unfitted, marks)
    }

    /// The marks of a socket that is treated.
    #[inline(always)]
    pub const fn marks_of(own: &Own, is_nested: bool) -> u8 {
        (if is_nested { NESTED } else { 0 }) | if own.enabled { 0 } else { SWITCHED_ON }
    }

    /// The parameters.
    #[inline(always)]
    pub const fn keepalive(&self) -> Keepalive {
        Keepalive {
            idle_s: self.idle_s as u32,
            interval_s: self.interval_s as u32,
            probes: self.probes as u32,
            user_timeout_ms: self.user_timeout_ms,
        }
    }

    /// Whether `mark` is there.
    #[inline(always)]
    pub const fn has(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    /// Records that one of the options has another value now, set by us.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "within the kernel's ranges, which are smaller")]
    pub const fn replace(&mut self, option: u8, value: u32) {
        self.asked &= !bit(option);
        match option {
            // Nothing was set: one value alone does not determine the effective ones.
            _ if self.idle_s == 0 => {}
            stats::OPTION_IDLE => self.idle_s = value as u16,
            stats::OPTION_INTERVAL => self.interval_s = value as u16,
            stats::OPTION_PROBES => self.probes = value as u8,
            stats::OPTION_USER_TIMEOUT => self.user_timeout_ms = value,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keepalive::{MAX_IDLE_S, MAX_PROBES},
        stats::{OPTION_IDLE, OPTION_INTERVAL, OPTION_KEEPALIVE, OPTION_PROBES, OPTION_USER_TIMEOUT},
    };

    #[test]
    fn the_largest_values_come_back() {
        let most =
            Keepalive { idle_s: MAX_IDLE_S, interval_s: MAX_IDLE_S, probes: MAX_PROBES, user_timeout_ms: u32::MAX };
        let applied = Applied::new(&most, &most, NESTED | GUARDED);
        assert_eq!(applied.keepalive(), most);
        assert_eq!((applied.unfitted_idle_s, applied.unfitted_interval_s), (32_767, 32_767));
        let marks = [NESTED, SWITCHED_ON, LEFT_ALONE, GUARDED].map(|mark| applied.has(mark));
        assert_eq!(marks, [true, false, false, true]);
    }

    #[test]
    fn what_was_found() {
        let sysctl = Sysctl { idle_s: 7200, interval_s: 75, probes: 9 };
        let on = Own { enabled: true, idle_s: 41, ..Own::default() };
        let unfitted = Keepalive { idle_s: 240, interval_s: 30, probes: 9, user_timeout_ms: 0 };
        let found = |own: &Own, is_set| Applied::found(own, &sysctl, &unfitted, is_set, Applied::marks_of(own, is_set));
        let theirs = found(&on, true);
        assert_eq!(theirs.keepalive(), on.effective(&sysctl));
        assert_eq!((theirs.marks, theirs.unfitted_idle_s), (NESTED, 240));
        assert_eq!(found(&on, false).keepalive(), Keepalive::default());
        for (own, marks) in
            [(on, 0), (Own { user_timeout_ms: 5, ..on }, 0), (Own { user_timeout_ms: 5, ..Own::default() }, LEFT_ALONE)]
        {
            assert_eq!(found(&own, false).marks, marks, "{own:?}");
        }
        assert_eq!(Applied::marks_of(&Own::default(), false), SWITCHED_ON);
    }

    #[test]
    fn what_is_replaced_is_ours() {
        let ours = Keepalive { idle_s: 240, interval_s: 30, probes: 9, user_timeout_ms: 0 };
        let options = [OPTION_KEEPALIVE, OPTION_IDLE, OPTION_INTERVAL, OPTION_PROBES, OPTION_USER_TIMEOUT];
        let mut applied = Applied { asked: 0b1_1111, ..Applied::new(&ours, &ours, 0) };
        for option in options {
            applied.replace(option, 7);
        }
        assert_eq!(applied.keepalive(), Keepalive { idle_s: 7, interval_s: 7, probes: 7, user_timeout_ms: 7 });
        assert_eq!((applied.asked, applied.unfitted_idle_s), (0, 240));
        let mut nothing = Applied { asked: bit(OPTION_IDLE), ..Applied::default() };
        for option in options {
            nothing.replace(option, 7);
        }
        assert_eq!(nothing, Applied::default());
    }
}
