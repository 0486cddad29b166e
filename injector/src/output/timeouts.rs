//! The report of `timeouts`.

use std::{collections::HashMap, fmt::Write as _};

use serde::Serialize;

use super::{HopReport, Table};
use crate::{
    discovery::local::{Ena, Host},
    hop::Hop,
    printable::printable,
    rules::timing::derive_with_reasons,
    units::exact,
};

/// How many flows each hop limits, by its name. Hops that nothing attached knows
/// of are not in it.
pub(crate) type Limited = HashMap<String, u64>;

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    hops: Vec<HopReport>,
    host: &'a Host,
}

/// The document of `timeouts -o json`.
pub(crate) fn timeouts_document(hops: &[Hop], host: &Host, limited: &Limited) -> impl Serialize {
    let report = |hop: &Hop| HopReport { flows: limited.get(&hop.name).copied(), ..HopReport::of(hop) };
    Document { schema: "injector.timeouts/v1", hops: hops.iter().map(report).collect(), host }
}

/// The same for people, on a terminal of so many columns.
pub(crate) fn timeouts_report(hops: &[Hop], host: &Host, limited: &Limited, columns: Option<usize>) -> String {
    let mut table =
        Table::new(["HOP", "KIND", "TIMEOUT", "RANGE", "AT ITS END", "KEEPALIVE", "FLOWS", "SOURCE", "WHERE"]);
    for hop in hops {
        let facts = hop.kind.facts();
        table.row([
            hop.name.clone(),
            hop.kind.to_string(),
            exact(hop.timeout),
            facts.range.bounds(),
            facts.expiry.name().to_owned(),
            keepalive(hop),
            limited.get(&hop.name).map_or_else(|| "-".to_owned(), ToString::to_string),
            hop.source.to_string(),
            hop.scope.to_string(),
        ]);
    }
    let mut text = table.within(columns);
    for remark in hops.iter().flat_map(remarks).chain(counters(host)) {
        write!(text, "\n{}", printable(&remark)).unwrap_or_default();
    }
    text
}

fn keepalive(hop: &Hop) -> String {
    let derived = derive_with_reasons(hop.timeout).ok().filter(|_| hop.kind.facts().keepalive);
    derived.map_or_else(|| "-".to_owned(), |derived| derived.timing.to_string())
}

/// Remarks on a hop; a sentence each.
fn remarks(hop: &Hop) -> Vec<String> {
    let name = &hop.name;
    if !hop.kind.facts().keepalive {
        return vec![format!("{name}: keepalive does not help here: {name} closes at {}", exact(hop.timeout))];
    }
    match derive_with_reasons(hop.timeout) {
        Ok(derived) => derived.caveats.iter().map(|caveat| format!("{name}: {caveat}")).collect(),
        Err(unserved) => vec![format!("{name}: {unserved}")],
    }
}

fn counters(host: &Host) -> Vec<String> {
    let conntrack = host.nf_conntrack.map(|one| format!("nf_conntrack: {} of {} entries in use", one.count, one.max));
    conntrack.into_iter().chain(host.ena.iter().map(allowance)).collect()
}

fn allowance(ena: &Ena) -> String {
    let number = |value: Option<u64>| value.map_or_else(|| "unknown".to_owned(), |value| value.to_string());
    format!(
        "{}: conntrack_allowance_available {}, conntrack_allowance_exceeded {}",
        ena.interface,
        number(ena.conntrack_allowance_available),
        number(ena.conntrack_allowance_exceeded)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{discovery::local::Conntrack, hop::HopArg};

    fn squeezed(text: &str) -> Vec<String> {
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn a_line_for_each_hop_and_what_to_know() {
        let hop = |text: &str| HopArg::parse_hop(text).expect(text);
        let host = Host {
            tcp_keepalive: None,
            nf_conntrack: Some(Conntrack { tcp_established_s: 432_000, count: 12, max: 262_144 }),
            ena: vec![Ena {
                interface: "eth0".to_owned(),
                conntrack_allowance_available: Some(136_812),
                conntrack_allowance_exceeded: Some(0),
            }],
        };
        let mut hops = vec![hop("db=nlb-tcp:1800s@10.0.9.0/24:5432"), hop("web=alb"), hop("x=custom:2s")];
        hops.extend(host.conntrack_hop());
        assert_eq!(
            squeezed(&timeouts_report(&hops, &host, &[("db".to_owned(), 3)].into(), None)),
            [
                "HOP KIND TIMEOUT RANGE AT ITS END KEEPALIVE FLOWS SOURCE WHERE",
                "db nlb-tcp 1800s 60s to 6000s reset 1234/154/9 3 --hop peer 10.0.9.0/24 port 5432",
                "web alb 60s 1s to 4000s close - - default of its kind anywhere",
                "x custom 2s 2s to 4233600s silent 1/1/9 - --hop anywhere",
                "nf_conntrack nf-conntrack 432000s 2s to 4233600s silent 32767/32767/9 - \
                 sysctl net.netfilter.nf_conntrack_tcp_timeout_established anywhere",
                "web: keepalive does not help here: web closes at 60s",
                "x: only 1 probe falls below the limit: if it is lost, so is the flow",
                "nf_conntrack: the first probe comes after 32767s, the longest that the kernel takes",
                "nf_conntrack: 12 of 262144 entries in use",
                "eth0: conntrack_allowance_available 136812, conntrack_allowance_exceeded 0",
            ]
        );
    }
}
