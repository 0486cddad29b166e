//! Kernel parameters below `/proc/sys`.

use std::{fs, str::FromStr};

/// The value of `name`, as `sysctl(8)` has it; `None` where this kernel has no
/// such parameter, or another kind of value.
pub(crate) fn sysctl<T: FromStr>(name: &str) -> Option<T> {
    fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        assert!(sysctl::<u32>("net.ipv4.tcp_keepalive_time").is_some());
        assert_eq!(sysctl::<u32>("kernel.ostype"), None);
        assert_eq!(sysctl::<String>("kernel.ostype").as_deref(), Some("Linux"));
        assert_eq!(sysctl::<u32>("net.ipv4.no_such_thing"), None);
    }
}
