//! A middlebox that drops idle connections, as security groups, load balancers and NAT gateways do.

use std::time::Duration;

use crate::host::netns::Netns;

/// What the middlebox does with a packet of an expired connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Drops it, as an EC2 network interface or a Gateway Load Balancer does: a silent black hole.
    Drop,
    /// Answers with a TCP reset, as a Network Load Balancer or a NAT gateway does.
    Reject,
}

/// Three network namespaces in a row: a client, a router that tracks connections, a server.
#[derive(Debug)]
pub struct Middlebox {
    client: Netns,
    server: Netns,
    router: Netns,
}

impl Middlebox {
    /// The server's IPv4 address, as the client reaches it.
    pub const SERVER_V4: &str = "10.77.2.2";
    /// The server's IPv6 address, as the client reaches it.
    pub const SERVER_V6: &str = "fd77:2::2";

    /// Builds the lab. Connections that are idle for `limit` expire.
    pub fn new(expiry: Expiry, limit: Duration) -> Self {
        let (client, router, server) = (Netns::new("client"), Netns::new("router"), Netns::new("server"));
        client.join("wire", &router, "inside");
        server.join("wire", &router, "outside");
        client.address("wire", &["10.77.1.2/24", "fd77:1::2/64"]);
        router.address("inside", &["10.77.1.1/24", "fd77:1::1/64"]);
        router.address("outside", &["10.77.2.1/24", "fd77:2::1/64"]);
        server.address("wire", &["10.77.2.2/24", "fd77:2::2/64"]);
        for (namespace, v4, v6) in [(&client, "10.77.1.1", "fd77:1::1"), (&server, "10.77.2.1", "fd77:2::1")] {
            namespace.ip(&["route", "add", "default", "via", v4]);
            namespace.ip(&["-6", "route", "add", "default", "via", v6]);
        }
        track(&router, expiry);
        let middlebox = Self { client, server, router };
        middlebox.expire_after(limit);
        middlebox
    }

    /// From its next packet on, a connection expires when it is idle for `limit`.
    pub fn expire_after(&self, limit: Duration) {
        self.router.sysctl("net.netfilter.nf_conntrack_tcp_timeout_established", &limit.as_secs().to_string());
    }

    /// From now on loses this share of the packets, in percent, before they count as traffic of their connection.
    pub fn lose(&self, percent: u32) {
        // nft takes no number beyond 99 there.
        let which = if percent == 100 { String::new() } else { format!("numgen random mod 100 < {percent}") };
        self.router.nft(&format!(
            "table inet loss
            delete table inet loss
            table inet loss {{
                chain prerouting {{
                    type filter hook prerouting priority raw;
                    meta l4proto tcp {which} drop
                }}
            }}"
        ));
    }

    /// Where clients run.
    pub fn client(&self) -> &Netns {
        &self.client
    }

    /// Where servers run.
    pub fn server(&self) -> &Netns {
        &self.server
    }
}

fn track(router: &Netns, expiry: Expiry) {
    router.sysctl("net.ipv4.ip_forward", "1");
    router.sysctl("net.ipv6.conf.all.forwarding", "1");
    let expired = match expiry {
        Expiry::Drop => "drop",
        Expiry::Reject => "meta l4proto tcp reject with tcp reset",
    };
    router.nft(&format!(
        "table inet middlebox {{
            chain forward {{
                type filter hook forward priority 0; policy drop;
                ct state established,related accept
                tcp flags & (fin|syn|rst|ack) == syn ct state new accept
                {expired}
            }}
        }}"
    ));
    // Without `loose`, a packet in mid-connection doesn't make an expired connection known again.
    router.sysctl("net.netfilter.nf_conntrack_tcp_loose", "0");
}
