//! `--hop NAME=KIND[:TIMEOUT][@PREFIX[:PORT]]`.

use std::{
    fmt::{self, Display, Formatter},
    str::FromStr,
    time::Duration,
};

use ipnet::IpNet;

use super::{Hop, HopError, Kind, Scope, Source, check_name, parse_prefix};
use crate::units;

/// A hop as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HopArg {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// Its timeout, where one was given.
    pub timeout: Option<Duration>,
    /// Where it is, unless it is anywhere.
    pub remote: Option<(IpNet, Option<u16>)>,
}

const FORM: &str = "NAME=KIND[:TIMEOUT][@PREFIX[:PORT]]";

impl HopArg {
    /// The hop that is meant. Errors with what its kind refuses.
    pub fn hop(&self) -> Result<Hop, String> {
        let scope = self.remote.map_or(Scope::ANYWHERE, |(prefix, port)| Scope::remote(vec![prefix], port));
        Hop::new(&self.name, self.kind, self.timeout, scope, Source::Flag).map_err(|refused| refused.to_string())
    }

    /// Parses a hop for the command line: its form, and what its kind takes.
    pub fn parse_hop(text: &str) -> Result<Hop, String> {
        text.parse::<Self>()?.hop()
    }
}

impl FromStr for HopArg {
    type Err = String;

    /// Errors with a sentence that names the part that is wrong.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let sentence = |refused: HopError| refused.to_string();
        let (name, rest) = text.split_once('=').ok_or_else(|| format!("{text:?} has no '=': write {FORM}"))?;
        check_name(name).map_err(sentence)?;
        let (what, scope) = match rest.split_once('@') {
            Some((what, scope)) => (what, Some(scope)),
            None => (rest, None),
        };
        let (kind, timeout) = match what.split_once(':') {
            Some((kind, timeout)) => (kind, Some(timeout)),
            None => (what, None),
        };
        Ok(Self {
            name: name.to_owned(),
            kind: kind.parse().map_err(sentence)?,
            timeout: timeout.map(|text| units::parse(text).map_err(|error| format!("timeout: {error}"))).transpose()?,
            remote: scope.map(remote).transpose()?,
        })
    }
}

/// `PREFIX[:PORT]`. IPv6 stands in brackets, so that its colons differ from
/// the port's.
fn remote(text: &str) -> Result<(IpNet, Option<u16>), String> {
    if !text.starts_with('[') && text.matches(':').count() > 1 {
        return Err(format!("place {text:?} has colons of its own: write IPv6 in brackets, [2001:db8::]/32"));
    }
    let end_of_address = text.find(']').unwrap_or(0);
    let (prefix, port) = match text.get(end_of_address..).and_then(|rest| rest.rfind(':')) {
        Some(colon) => (&text[..end_of_address + colon], Some(&text[end_of_address + colon + 1..])),
        None => (text, None),
    };
    let port = port.map(|digits| {
        let number = digits.parse::<u16>().ok().filter(|&port| port > 0 && digits.bytes().all(|b| b.is_ascii_digit()));
        number.ok_or_else(|| format!("place {text:?}: invalid port {digits:?}: expected 1 to 65535"))
    });
    let prefix = parse_prefix(prefix).map_err(|error| format!("place: {error}"))?;
    Ok((prefix, port.transpose()?))
}

/// The form that [`FromStr`] reads.
impl Display for HopArg {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}={}", self.name, self.kind)?;
        if let Some(timeout) = self.timeout {
            write!(formatter, ":{}", units::exact(timeout))?;
        }
        let Some((prefix, port)) = self.remote else { return Ok(()) };
        match prefix {
            IpNet::V4(prefix) => write!(formatter, "@{prefix}")?,
            IpNet::V6(prefix) => write!(formatter, "@[{}]/{}", prefix.addr(), prefix.prefix_len())?,
        }
        port.map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepted() {
        let table = [
            ("db=nlb-tcp:1800s@10.0.9.0/24:5432", Kind::NlbTcp, 1800, "peer 10.0.9.0/24 port 5432"),
            ("eni=eni:350s", Kind::Eni, 350, "anywhere"),
            ("eni=eni", Kind::Eni, 350, "anywhere"),
            ("x=custom:60s@[2001:db8::]/32", Kind::Custom, 60, "peer 2001:db8::/32"),
            ("x=custom:60s@[2001:db8::]/32:443", Kind::Custom, 60, "peer 2001:db8::/32 port 443"),
            ("x=custom:1m@10.0.0.1", Kind::Custom, 60, "peer 10.0.0.1/32"),
            ("x=custom:60@10.0.0.1:443", Kind::Custom, 60, "peer 10.0.0.1/32 port 443"),
            ("x=nat-gateway@[2001:db8::1]:80", Kind::NatGateway, 350, "peer 2001:db8::1/128 port 80"),
            ("x=custom:60s@[::ffff:10.0.0.0]/104", Kind::Custom, 60, "peer 10.0.0.0/8"),
        ];
        for (text, kind, seconds, scope) in table {
            let hop = HopArg::parse_hop(text).expect(text);
            let found = (hop.kind, hop.timeout, hop.scope.to_string());
            assert_eq!(found, (kind, Duration::from_secs(seconds), scope.to_owned()), "{text}");
        }
    }

    #[test]
    fn refused() {
        let table = [
            ("eni", "has no '=': write NAME=KIND[:TIMEOUT][@PREFIX[:PORT]]"),
            ("", "has no '='"),
            ("=eni", "invalid name \"\" for a hop"),
            ("a b=eni", "invalid name \"a b\" for a hop"),
            ("x=", "unknown kind of hop \"\""),
            ("x=nlb_tcp", "unknown kind of hop \"nlb_tcp\", \"nlb-tcp\" perhaps"),
            ("x=eni:", "timeout: invalid duration \"\""),
            ("x=eni:soon", "timeout: invalid duration \"soon\": expected 240s"),
            ("x=custom", "has no default timeout: add one, as in custom:60s"),
            ("x=custom:1s", "invalid timeout 1s: custom takes 2s to"),
            ("x=nlb-tcp:30s", "invalid timeout 30s: nlb-tcp takes 60s to 6000s (https://docs.aws.amazon.com/"),
            ("x=nlb-tls:60s", "nlb-tls always has 350s"),
            ("x=eni@", "place: invalid address or prefix \"\""),
            ("x=eni@10.0.9.1/24", "place: 10.0.9.1/24 has bits beyond its length: write 10.0.9.0/24"),
            ("x=eni@10.0.0.0/40", "place: invalid prefix length \"40\" of 10.0.0.0: expected /0 to /32"),
            ("x=eni@10.0.0.0/8:0", "invalid port \"0\": expected 1 to 65535"),
            ("x=eni@10.0.0.0/8:65536", "invalid port \"65536\""),
            ("x=eni@10.0.0.0/8:", "invalid port \"\""),
            ("x=eni@10.0.0.0/8:+80", "invalid port \"+80\""),
            ("x=eni@2001:db8::/32", "write IPv6 in brackets"),
            ("x=eni@[2001:db8::/32", "invalid address or prefix"),
            ("x=eni@[2001:db8::]/200", "invalid prefix length \"200\""),
            ("x=eni@]:[", "invalid address or prefix"),
            ("x=eni@a@b", "invalid address or prefix"),
        ];
        for (text, expected) in table {
            let error = HopArg::parse_hop(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    fn any_arg() -> impl Strategy<Value = HopArg> {
        let remote =
            (any::<std::net::IpAddr>(), 0_u8..=128, proptest::option::of(1_u16..)).prop_map(|(ip, length, port)| {
                let ip = ip.to_canonical();
                let prefix = IpNet::new_assert(ip, length.min(if ip.is_ipv4() { 32 } else { 128 })).trunc();
                (parse_prefix(&prefix.to_string()).expect("canonical"), port)
            });
        let timeout = proptest::option::of((1_u64..5_000_000_000).prop_map(Duration::from_millis));
        ("[a-zA-Z0-9._-]{1,63}", 0..Kind::ALL.len(), timeout, proptest::option::of(remote))
            .prop_map(|(name, kind, timeout, remote)| HopArg { name, kind: Kind::ALL[kind], timeout, remote })
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read(arg in any_arg()) {
            prop_assert_eq!(arg.to_string().parse(), Ok(arg));
        }

        #[test]
        fn never_panics(text: String) {
            drop(HopArg::parse_hop(&text));
        }

        #[test]
        fn never_panics_near_the_form(text in "[ax=:@/.0-9\\[\\]eni s-]{0,30}", cut in 0_usize..30) {
            drop(HopArg::parse_hop(&text));
            let whole = "x=custom:60s@[2001:db8::]/32:443";
            drop(HopArg::parse_hop(&format!("{}{text}{}", &whole[..cut], &whole[cut..])));
        }

        #[test]
        fn what_is_accepted_is_in_range(arg in any_arg()) {
            if let Ok(hop) = arg.hop() {
                prop_assert!(hop.kind.facts().range.contains(hop.timeout));
                prop_assert_eq!(u128::from(hop.timeout_ms()), hop.timeout.as_millis());
            }
        }
    }
}
