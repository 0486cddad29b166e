//! Kernel lockdown: what even root may not do (`security/lockdown/`).

use std::fs;

/// Where the kernel reports it, if securityfs is mounted.
pub(crate) const FILE: &str = "/sys/kernel/security/lockdown";

/// How much is forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lockdown {
    /// Nothing.
    None,
    /// To change the running kernel.
    Integrity,
    /// To read what it keeps, too. Then no BPF program may either: kernels with
    /// commit ff40e51043af (5.13 and stable ones) refuse to load one that would,
    /// others fail each of its reads.
    Confidentiality,
}

impl Lockdown {
    /// The kernel's; `None` where it does not report it.
    pub(crate) fn current() -> Option<Self> {
        parse(&fs::read_to_string(FILE).ok()?)
    }
}

/// The level in brackets of `none [integrity] confidentiality`.
fn parse(text: &str) -> Option<Lockdown> {
    let (_, rest) = text.split_once('[')?;
    match rest.split_once(']')?.0 {
        "none" => Some(Lockdown::None),
        "integrity" => Some(Lockdown::Integrity),
        "confidentiality" => Some(Lockdown::Confidentiality),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_stands_in_brackets() {
        for (text, expected) in [
            ("[none] integrity confidentiality\n", Some(Lockdown::None)),
            ("none [integrity] confidentiality\n", Some(Lockdown::Integrity)),
            ("none integrity [confidentiality]\n", Some(Lockdown::Confidentiality)),
            ("none integrity confidentiality [all]\n", None),
            ("[none", None),
            ("none]", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
