//! Keepalive parameters, and what to do with a socket that may already have
//! its own.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    conflict::ENFORCE,
    opaque::Opaque,
    timer::{SPARE_PROBES, fits_user_timeout, fitted, is_too_short, longest_idle_ms},
};

/// Longest `TCP_KEEPIDLE` and `TCP_KEEPINTVL` the kernel takes, in seconds
/// (`MAX_TCP_KEEPIDLE`, `MAX_TCP_KEEPINTVL` in include/net/tcp.h).
pub const MAX_IDLE_S: u32 = 32_767;
/// Largest `TCP_KEEPCNT` the kernel takes (`MAX_TCP_KEEPCNT`).
pub const MAX_PROBES: u32 = 127;
/// The kernel's default of `TCP_KEEPCNT` (`TCP_KEEPALIVE_PROBES`).
pub const DEFAULT_PROBES: u32 = 9;

/// Keepalive parameters of one socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Keepalive {
    /// `TCP_KEEPIDLE`: idle seconds before the first probe.
    pub idle_s: u32,
    /// `TCP_KEEPINTVL`: seconds between unanswered probes.
    pub interval_s: u32,
    /// `TCP_KEEPCNT`: unanswered probes before the kernel gives the
    /// connection up.
    pub probes: u32,
    /// `TCP_USER_TIMEOUT` in milliseconds; 0 leaves it alone. When set, the
    /// kernel gives up by it and no longer by [`Self::probes`].
    pub user_timeout_ms: u32,
}

impl Opaque for Keepalive {
    #[inline(always)]
    fn opaque(self) -> Self {
        Self {
            idle_s: self.idle_s.opaque(),
            interval_s: self.interval_s.opaque(),
            probes: self.probes.opaque(),
            user_timeout_ms: self.user_timeout_ms.opaque(),
        }
    }
}

/// What to do with the flows of an attachment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FlowPolicy {
    /// Parameters to inject. An idle of 0 exempts: nothing is set, so an unfilled map does no harm.
    pub keepalive: Keepalive,
    /// Idle timeout of the hop that expires first, in milliseconds.
    pub limit_ms: u32,
    /// Wire idle time from which a flow counts as at risk, in milliseconds.
    pub warn_ms: u32,
    /// Whose value counts, from [`crate::conflict`].
    pub conflict: u32,
}

const _: () = assert!(size_of::<FlowPolicy>() == 28);

/// A socket's own settings, chosen by its application or by earlier programs. A value of 0 was never set: the network
/// namespace's sysctl stands in for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// `SO_KEEPALIVE` is on.
    pub enabled: bool,
    /// `TCP_KEEPIDLE` in seconds.
    pub idle_s: u32,
    /// `TCP_KEEPINTVL` in seconds.
    pub interval_s: u32,
    /// `TCP_KEEPCNT`.
    pub probes: u32,
    /// `TCP_USER_TIMEOUT` in milliseconds.
    pub user_timeout_ms: u32,
}

/// A network namespace's defaults; 0 where they are unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sysctl {
    /// `net.ipv4.tcp_keepalive_time` in seconds.
    pub idle_s: u32,
    /// `net.ipv4.tcp_keepalive_intvl` in seconds.
    pub interval_s: u32,
    /// `net.ipv4.tcp_keepalive_probes`.
    pub probes: u32,
}

impl Opaque for Own {
    #[inline(always)]
    fn opaque(self) -> Self {
        Self {
            enabled: self.enabled.opaque(),
            idle_s: self.idle_s.opaque(),
            interval_s: self.interval_s.opaque(),
            probes: self.probes.opaque(),
            user_timeout_ms: self.user_timeout_ms.opaque(),
        }
    }
}

impl Opaque for Sysctl {
    #[inline(always)]
    fn opaque(self) -> Self {
        Self { idle_s: self.idle_s.opaque(), interval_s: self.interval_s.opaque(), probes: self.probes.opaque() }
    }
}

/// The decision on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The policy leaves it alone.
    Exempt,
    /// It stays as it is: its own keepalive serves, or its user timeout leaves
    /// no room for any.
    Respect,
    /// The application chose nothing: the policy's parameters.
    Inject(Keepalive),
    /// The application chose something that does not serve: brought within
    /// the policy, never loosened.
    Tighten(Keepalive),
}

impl Own {
    /// The effective values, sysctls filled in.
    #[inline(always)]
    pub const fn effective(&self, sysctl: &Sysctl) -> Keepalive {
        Keepalive {
            idle_s: or(self.idle_s, sysctl.idle_s),
            interval_s: or(self.interval_s, sysctl.interval_s),
            probes: or(self.probes, sysctl.probes),
            user_timeout_ms: self.user_timeout_ms,
        }
    }

    /// Whether nothing was chosen: then sysctls don't count, either, as keepalive is off.
    #[inline(always)]
    pub const fn is_untouched(&self) -> bool {
        !self.enabled && self.idle_s | self.interval_s | self.probes | self.user_timeout_ms == 0
    }
}

impl Keepalive {
    /// Whether the `effective` values are those that were set by these. A user timeout that they leave alone does not
    /// count.
    #[inline(always)]
    pub const fn is(&self, effective: &Self) -> bool {
        self.idle_s == effective.idle_s
            && self.interval_s == effective.interval_s
            && self.probes == effective.probes
            && (self.user_timeout_ms == 0 || self.user_timeout_ms == effective.user_timeout_ms)
    }

    /// With the shorter one of both idle times and of both intervals.
    #[inline(always)]
    #[must_use]
    pub const fn no_slower_than(&self, other: &Self) -> Self {
        let mut both = *self;
        both.idle_s = shorter(self.idle_s, other.idle_s);
        both.interval_s = shorter(self.interval_s, other.interval_s);
        both
    }
}

/// Decides what to do with a socket that has `own`, under `policy`.
///
/// `sysctl` stands in for what was left alone, and counts like a value of the
/// application's own. With `is_nested` another attachment covers the socket as
/// well, and its rules count, too: not even [`ENFORCE`] loosens what is there.
/// `unfitted` is what [`unfitted`] returns for the same four.
#[inline(always)]
pub fn choose(policy: &FlowPolicy, own: &Own, sysctl: &Sysctl, is_nested: bool, unfitted: &Keepalive) -> Action {
    if policy.keepalive.idle_s == 0 {
        return Action::Exempt;
    }
    let enforces = policy.conflict == ENFORCE && !is_nested;
    let replaces_user_timeout = enforces && policy.keepalive.user_timeout_ms != 0;
    let user_timeout_ms = if replaces_user_timeout { 0 } else { own.user_timeout_ms };
    if is_too_short(user_timeout_ms) {
        return Action::Respect;
    }
    if enforces {
        return Action::Inject(fitted(unfitted, user_timeout_ms));
    }
    let effective = own.effective(sysctl);
    if own.enabled
        && longest_idle_ms(effective.idle_s, effective.interval_s) < u64::from(policy.limit_ms)
        && fits_user_timeout(&effective)
    {
        return Action::Respect;
    }
    let keepalive = fitted(unfitted, user_timeout_ms);
    if own.is_untouched() { Action::Inject(keepalive) } else { Action::Tighten(keepalive) }
}

/// What [`choose`] would set without a user timeout of the application's.
#[inline(always)]
pub fn unfitted(policy: &FlowPolicy, own: &Own, sysctl: &Sysctl, is_nested: bool) -> Keepalive {
    if policy.conflict == ENFORCE && !is_nested || own.is_untouched() {
        policy.keepalive
    } else {
        tightened(&policy.keepalive, own, sysctl)
    }
}

/// The stricter of both where it decides how soon a hop sees the flow. How many
/// probes, and how long to wait in all, decide when a connection is given up:
/// there the application's value stands.
#[inline(always)]
fn tightened(policy: &Keepalive, own: &Own, sysctl: &Sysctl) -> Keepalive {
    Keepalive {
        probes: probes(policy.probes, own, sysctl),
        user_timeout_ms: if own.user_timeout_ms == 0 { policy.user_timeout_ms } else { 0 },
        ..policy.no_slower_than(&own.effective(sysctl).opaque())
    }
}

/// What was chosen for a keepalive that is on stands. Where we switch it on,
/// one lost probe must not end the connection, whatever number was left there.
#[inline(always)]
const fn probes(policy: u32, own: &Own, sysctl: &Sysctl) -> u32 {
    if own.probes == 0 {
        if own.enabled { shorter(policy, sysctl.probes) } else { policy }
    } else if !own.enabled && own.probes < SPARE_PROBES {
        SPARE_PROBES
    } else {
        own.probes
    }
}

/// The shorter one; 0 stands for none.
#[inline(always)]
const fn shorter(ours: u32, other: u32) -> u32 {
    // One comparison instead of three, and so fewer paths for the verifier: less one, 0 is the largest number.
    let (ours, other) = (ours.wrapping_sub(1), other.wrapping_sub(1));
    if ours < other { ours } else { other }.wrapping_add(1)
}

#[inline(always)]
const fn or(own: u32, sysctl: u32) -> u32 {
    if own == 0 { sysctl } else { own }
}

#[cfg(test)]
mod tests;
