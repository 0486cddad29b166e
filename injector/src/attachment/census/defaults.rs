//! A network namespace's defaults for sockets without settings of their own.

use std::fs;

use injector_common::keepalive::{DEFAULT_PROBES, Sysctl};

/// Of the namespace that the calling thread is in: `/proc/sys/net` shows no
/// other.
pub(super) fn here() -> Sysctl {
    let value = |name: &str, kernels_own| {
        let text = fs::read_to_string(format!("/proc/sys/net/ipv4/tcp_keepalive_{name}"));
        text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(kernels_own)
    };
    Sysctl { idle_s: value("time", 7200), interval_s: value("intvl", 75), probes: value("probes", DEFAULT_PROBES) }
}
