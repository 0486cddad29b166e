//! Timeouts of this host: sysctls, connection tracking, and the counters of
//! EC2's network driver.

use std::time::Duration;

use serde::Serialize;

use crate::{
    hop::{Hop, Kind, Scope, Source},
    host::{
        ethtool::{self, DriverCounters},
        sysctl::sysctl,
    },
};

/// The sysctl of Linux connection tracking that limits idle connections.
pub(crate) const CONNTRACK_SYSCTL: &str = "net.netfilter.nf_conntrack_tcp_timeout_established";

/// Timeouts and counters of this host. What it does not have is absent.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Host {
    /// Keepalive of sockets that switch it on and choose nothing.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// Linux connection tracking, where it is loaded.
    pub nf_conntrack: Option<Conntrack>,
    /// Connection tracking of EC2's network interfaces, where their driver
    /// counts it.
    pub ena: Vec<Ena>,
}

/// `net.ipv4.tcp_keepalive_*` of this network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct TcpKeepalive {
    /// `tcp_keepalive_time`.
    pub idle_s: u32,
    /// `tcp_keepalive_intvl`.
    pub interval_s: u32,
    /// `tcp_keepalive_probes`.
    pub probes: u32,
}

/// `net.netfilter.nf_conntrack_*` of this network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Conntrack {
    /// `nf_conntrack_tcp_timeout_established`.
    pub tcp_established_s: u32,
    /// `nf_conntrack_count`: connections in the table.
    pub count: u64,
    /// `nf_conntrack_max`: room for connections.
    pub max: u64,
}

/// Counters of an ENA interface: "Monitor network performance for ENA settings
/// on your EC2 instance" in the EC2 user guide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Ena {
    /// Name of the interface.
    pub interface: String,
    /// Connections that can still be tracked.
    pub conntrack_allowance_available: Option<u64>,
    /// Packets dropped because no more connections could be tracked.
    pub conntrack_allowance_exceeded: Option<u64>,
}

impl Host {
    /// Asks this host. Never fails: what can't be read is absent.
    pub(crate) fn read() -> Self {
        Self { tcp_keepalive: tcp_keepalive(), nf_conntrack: nf_conntrack(), ena: ena() }
    }

    /// Linux connection tracking as a hop, where it is loaded.
    pub(crate) fn conntrack_hop(&self) -> Option<Hop> {
        let conntrack = self.nf_conntrack?;
        Some(Hop {
            name: "nf_conntrack".to_owned(),
            kind: Kind::NfConntrack,
            timeout: Duration::from_secs(conntrack.tcp_established_s.into()),
            scope: Scope::ANYWHERE,
            source: Source::Kernel { sysctl: CONNTRACK_SYSCTL },
        })
    }
}

impl TcpKeepalive {
    /// The longer one of both times, which decides how long a connection is idle.
    pub(crate) fn longest_time(self) -> Duration {
        Duration::from_secs(self.idle_s.max(self.interval_s).into())
    }
}

fn tcp_keepalive() -> Option<TcpKeepalive> {
    Some(TcpKeepalive {
        idle_s: sysctl("net.ipv4.tcp_keepalive_time")?,
        interval_s: sysctl("net.ipv4.tcp_keepalive_intvl")?,
        probes: sysctl("net.ipv4.tcp_keepalive_probes")?,
    })
}

fn nf_conntrack() -> Option<Conntrack> {
    Some(Conntrack {
        tcp_established_s: sysctl(CONNTRACK_SYSCTL)?,
        count: sysctl("net.netfilter.nf_conntrack_count")?,
        max: sysctl("net.netfilter.nf_conntrack_max")?,
    })
}

fn ena() -> Vec<Ena> {
    let counters = ethtool::read().unwrap_or_default();
    counters.iter().filter_map(|(interface, counters)| allowance(interface, counters)).collect()
}

fn allowance(interface: &str, counters: &DriverCounters) -> Option<Ena> {
    let counter = |name: &str| counters.get(name).copied();
    let (available, exceeded) = (counter("conntrack_allowance_available"), counter("conntrack_allowance_exceeded"));
    available.or(exceeded)?;
    Some(Ena {
        interface: interface.to_owned(),
        conntrack_allowance_available: available,
        conntrack_allowance_exceeded: exceeded,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_has_the_keepalive_sysctls() {
        let host = Host::read();
        let keepalive = host.tcp_keepalive.expect("readable by all users");
        assert!(keepalive.idle_s > 0 && keepalive.interval_s > 0);
        assert_eq!(host.conntrack_hop().is_some(), host.nf_conntrack.is_some());
    }

    #[test]
    fn other_drivers_are_skipped() {
        let stats = |names: &[(&str, u64)]| names.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        assert_eq!(allowance("eth0", &stats(&[("rx_packets", 5)])), None);
        let ena = |available, exceeded| Ena {
            interface: "eth0".to_owned(),
            conntrack_allowance_available: available,
            conntrack_allowance_exceeded: exceeded,
        };
        let recent = stats(&[("conntrack_allowance_available", 136_812), ("conntrack_allowance_exceeded", 0)]);
        assert_eq!(allowance("eth0", &recent), Some(ena(Some(136_812), Some(0))));
        // Drivers before January 2023 have only one of them.
        assert_eq!(allowance("eth0", &stats(&[("conntrack_allowance_exceeded", 7)])), Some(ena(None, Some(7))));
    }
}
