//! The kinds of hops, and their documented behaviour.

use std::{
    fmt::{self, Display, Formatter},
    str::FromStr,
    time::Duration,
};

use serde::Serialize;

use super::{HopError, MAX_LIMIT, MIN_LIMIT};
use crate::{suggest::nearest, units::exact};

/// What a hop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Connection tracking of an EC2 network interface.
    Eni,
    /// TCP listener of an AWS Network Load Balancer.
    NlbTcp,
    /// TLS listener of an AWS Network Load Balancer.
    NlbTls,
    /// AWS Gateway Load Balancer.
    Gwlb,
    /// AWS NAT gateway.
    NatGateway,
    /// AWS interface VPC endpoint (`PrivateLink`).
    VpcEndpoint,
    /// AWS Network Firewall.
    NetworkFirewall,
    /// AWS Application Load Balancer.
    Alb,
    /// AWS Classic Load Balancer.
    Clb,
    /// Envoy's TCP proxy.
    Envoy,
    /// Azure Load Balancer.
    AzureLb,
    /// Connection tracking of the Google Cloud VPC firewall.
    GcpVpc,
    /// Google Cloud NAT.
    GcpNat,
    /// Linux IP virtual server, as kube-proxy uses it.
    Ipvs,
    /// Linux connection tracking.
    NfConntrack,
    /// Anything else that drops idle flows.
    Custom,
}

/// Documented facts about a kind of hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindFacts {
    /// Its name on the command line and in files.
    pub name: &'static str,
    /// Default idle timeout; `None` where there is none.
    pub default: Option<Duration>,
    /// Which timeouts it can have.
    pub range: Range,
    /// What happens to a flow when it expires.
    pub expiry: Expiry,
    /// Default timeout of a half-closed connection, where it is documented.
    pub half_closed: Option<Duration>,
    /// Whether a TCP keepalive probe counts as activity. It does not for
    /// timers of the application layer, which see payload only.
    pub keepalive: bool,
    /// The source.
    pub source: &'static str,
}

/// Timeouts that a kind of hop can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// This one only.
    Fixed(Duration),
    /// Between these two, which belong to it.
    Within(Duration, Duration),
}

/// What a hop does with a flow that was idle for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Expiry {
    /// Drops it and its packets: neither end notices.
    Silent,
    /// Answers its next packet with a reset.
    Reset,
    /// Closes it at both ends.
    Close,
}

const EC2: &str = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ConnectionTrackingConfiguration.html";
const NLB: &str = "https://docs.aws.amazon.com/elasticloadbalancing/latest/network/update-idle-timeout.html";
const GWLB: &str = "https://docs.aws.amazon.com/elasticloadbalancing/latest/gateway/gateway-listeners.html";
const NAT: &str = "https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-troubleshooting.html";
const ENDPOINT: &str = "https://aws.amazon.com/blogs/networking-and-content-delivery/\
                        implementing-long-running-tcp-connections-within-vpc-networking/";
const FIREWALL: &str = "https://docs.aws.amazon.com/network-firewall/latest/APIReference/API_FlowTimeouts.html";
const ALB: &str =
    "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html";
// The API reference says at most 3,600 s; what its guide allows is not refused here.
const CLB: &str = "https://docs.aws.amazon.com/elasticloadbalancing/latest/classic/config-idle-timeout.html";
const ENVOY: &str = "https://www.envoyproxy.io/docs/envoy/latest/faq/configuration/timeouts";
const AZURE: &str = "https://learn.microsoft.com/azure/load-balancer/load-balancer-tcp-idle-timeout";
const GCP_VPC: &str = "https://cloud.google.com/vpc/docs/firewalls";
const GCP_NAT: &str = "https://cloud.google.com/nat/docs/tune-nat-configuration";
const IPVS: &str = "tcp_timeouts in net/netfilter/ipvs/ip_vs_proto_tcp.c of Linux";
const CONNTRACK: &str = "Documentation/networking/nf_conntrack-sysctl.rst of Linux";
const OURS: &str = "what injector can serve";

/// What injector itself can work with, where a kind has no narrower range.
const ANY: Range = Range::Within(MIN_LIMIT, MAX_LIMIT);

impl Kind {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Eni,
        Self::NlbTcp,
        Self::NlbTls,
        Self::Gwlb,
        Self::NatGateway,
        Self::VpcEndpoint,
        Self::NetworkFirewall,
        Self::Alb,
        Self::Clb,
        Self::Envoy,
        Self::AzureLb,
        Self::GcpVpc,
        Self::GcpNat,
        Self::Ipvs,
        Self::NfConntrack,
        Self::Custom,
    ];

    /// Documented facts.
    ///
    /// An ENI has 432,000 s on instances before Nitro v6 and 350 s since. The
    /// shorter one stands as the default: it serves both.
    pub const fn facts(self) -> KindFacts {
        use Expiry::{Close, Reset, Silent};
        match self {
            Self::Eni => l4("eni", 350, within(60, 432_000), Silent, EC2),
            Self::NlbTcp => l4("nlb-tcp", 350, within(60, 6000), Reset, NLB),
            Self::NlbTls => l4("nlb-tls", 350, fixed(350), Reset, NLB),
            Self::Gwlb => l4("gwlb", 350, within(60, 6000), Silent, GWLB),
            Self::NatGateway => l4("nat-gateway", 350, fixed(350), Reset, NAT),
            Self::VpcEndpoint => l4("vpc-endpoint", 350, fixed(350), Silent, ENDPOINT),
            Self::NetworkFirewall => l4("network-firewall", 350, within(60, 6000), Silent, FIREWALL),
            Self::Alb => l7("alb", 60, within(1, 4000), Close, ALB),
            Self::Clb => l7("clb", 60, within(1, 4000), Close, CLB),
            Self::Envoy => l7("envoy", 3600, Range::Within(Duration::from_secs(1), MAX_LIMIT), Close, ENVOY),
            Self::AzureLb => l4("azure-lb", 240, within(240, 6000), Silent, AZURE),
            Self::GcpVpc => l4("gcp-vpc", 600, fixed(600), Silent, GCP_VPC),
            Self::GcpNat => l4("gcp-nat", 1200, ANY, Silent, GCP_NAT),
            // Its CLOSE_WAIT, the shorter one of the states that a half-closed connection passes.
            Self::Ipvs => with_half_closed(l4("ipvs", 900, ANY, Silent, IPVS), 60),
            // `nf_conntrack_tcp_timeout_close_wait`; `_fin_wait` has 120.
            Self::NfConntrack => with_half_closed(l4("nf-conntrack", 432_000, ANY, Silent, CONNTRACK), 60),
            Self::Custom => KindFacts { default: None, ..l4("custom", 0, ANY, Silent, OURS) },
        }
    }

    /// Its name on the command line and in files.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// All names, for a message.
    pub fn list() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

const fn within(min_s: u64, max_s: u64) -> Range {
    Range::Within(Duration::from_secs(min_s), Duration::from_secs(max_s))
}

const fn fixed(seconds: u64) -> Range {
    Range::Fixed(Duration::from_secs(seconds))
}

/// A hop that sees packets, and so keepalive probes.
const fn l4(name: &'static str, default_s: u64, range: Range, expiry: Expiry, source: &'static str) -> KindFacts {
    let default = Some(Duration::from_secs(default_s));
    KindFacts { name, default, range, expiry, half_closed: None, keepalive: true, source }
}

const fn with_half_closed(facts: KindFacts, seconds: u64) -> KindFacts {
    KindFacts { half_closed: Some(Duration::from_secs(seconds)), ..facts }
}

/// A hop that sees payload only.
const fn l7(name: &'static str, default_s: u64, range: Range, expiry: Expiry, source: &'static str) -> KindFacts {
    KindFacts { keepalive: false, ..l4(name, default_s, range, expiry, source) }
}

impl Range {
    /// `60s to 6000s`, or `fixed`.
    pub fn bounds(self) -> String {
        match self {
            Self::Fixed(_) => "fixed".to_owned(),
            Self::Within(min, max) => format!("{} to {}", exact(min), exact(max)),
        }
    }

    /// Whether `timeout` is possible.
    pub fn contains(self, timeout: Duration) -> bool {
        match self {
            Self::Fixed(only) => timeout == only,
            Self::Within(min, max) => (min..=max).contains(&timeout),
        }
    }
}

/// The end of a sentence that begins with the kind.
impl Display for Range {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(only) => write!(formatter, "always has {}", exact(*only)),
            Self::Within(..) => write!(formatter, "takes {}", self.bounds()),
        }
    }
}

impl Expiry {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Reset => "reset",
            Self::Close => "close",
        }
    }
}

impl Display for Kind {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = HopError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| HopError::Kind {
            given: text.to_owned(),
            nearest: nearest(text, Self::ALL.iter().map(|kind| kind.name())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_are_those_of_json() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).expect("a name"), kind.name());
        }
    }

    #[test]
    fn defaults_are_possible_and_can_be_served() {
        for kind in Kind::ALL {
            let facts = kind.facts();
            assert!(facts.default.is_none_or(|default| facts.range.contains(default)), "{kind}");
            let (Range::Fixed(min) | Range::Within(min, _)) = facts.range;
            let (Range::Fixed(max) | Range::Within(_, max)) = facts.range;
            assert!(min <= max && max <= MAX_LIMIT && (!facts.keepalive || min >= MIN_LIMIT), "{kind}");
        }
    }

    #[test]
    fn ranges_include_their_ends() {
        let table = [
            (Kind::NlbTcp, 59, false),
            (Kind::NlbTcp, 60, true),
            (Kind::NlbTcp, 6000, true),
            (Kind::NlbTcp, 6001, false),
            (Kind::NlbTls, 349, false),
            (Kind::NlbTls, 350, true),
            (Kind::Eni, 432_000, true),
            (Kind::Eni, 432_001, false),
            (Kind::Alb, 1, true),
            (Kind::Custom, 1, false),
            (Kind::Custom, 2, true),
        ];
        for (kind, seconds, expected) in table {
            assert_eq!(kind.facts().range.contains(Duration::from_secs(seconds)), expected, "{kind} {seconds}");
        }
    }

    #[test]
    fn refusals_name_what_is_right() {
        let error = "nlb-tpc".parse::<Kind>().expect_err("a typing error").to_string();
        assert!(
            error.starts_with("unknown kind of hop \"nlb-tpc\", \"nlb-tcp\" perhaps: expected one of eni, "),
            "{error}"
        );
        let error = HopError::Timeout { given: Duration::from_secs(30), kind: Kind::NlbTcp }.to_string();
        assert!(error.starts_with("invalid timeout 30s: nlb-tcp takes 60s to 6000s (https://"), "{error}");
        let error = HopError::Timeout { given: Duration::from_secs(30), kind: Kind::NatGateway }.to_string();
        assert!(error.contains("nat-gateway always has 350s (https://"), "{error}");
    }
}
