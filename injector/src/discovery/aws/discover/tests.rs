use std::collections::HashMap;

use super::*;
use crate::{
    discovery::aws::answers::{Answer, Unanswered},
    hop::parse_prefix,
};

const DENIED: &str = "UnauthorizedOperation: You are not authorized";

fn unanswered<T>(call: &'static str) -> Answer<T> {
    Err(Unanswered { call, why: DENIED.to_owned() })
}

fn instance(instance_type: &str) -> Instance {
    let interface = |id: &str, prefixes: &[&str]| Interface {
        id: id.to_owned(),
        prefixes: prefixes.iter().map(|text| parse_prefix(text).expect(text)).collect(),
    };
    Instance {
        type_name: instance_type.to_owned(),
        region: "eu-west-1".to_owned(),
        interfaces: vec![interface("eni-1", &["10.0.1.5", "10.0.1.16/28"]), interface("eni-2", &[])],
    }
}

fn tracking(timeout: Option<u64>) -> HashMap<String, Option<Duration>> {
    [("eni-1".to_owned(), timeout.map(Duration::from_secs))].into()
}

fn of_interface(instance_type: &str, tracking: Answer<HashMap<String, Option<Duration>>>) -> Discovery {
    discover(&Answers { instance: Ok(instance(instance_type)), tracking, balancers: Ok(vec![]) })
}

fn of_balancer(listeners: Answer<Vec<BalancerListener>>) -> Discovery {
    let prefixes = vec![parse_prefix("10.0.9.7").expect("valid"), parse_prefix("2001:db8::7").expect("valid")];
    let balancer = Balancer { name: "db".to_owned(), prefixes, listeners };
    let instance = Ok(Instance::default());
    discover(&Answers { instance, tracking: Ok(HashMap::new()), balancers: Ok(vec![balancer]) })
}

/// `NAME KIND TIMEOUT SOURCE PLACE` of each hop.
fn lines(discovery: &Discovery) -> Vec<String> {
    let line = |hop: &Hop| format!("{} {} {} {}, {}", hop.name, hop.kind, exact(hop.timeout), hop.source, hop.scope);
    discovery.hops.iter().map(line).collect()
}

#[test]
fn interfaces() {
    let source = "discovered by ec2:DescribeNetworkInterfaces";
    let not_set = "TcpEstablishedTimeout is not set";
    let lacks = "ec2:DescribeNetworkInterfaces: the answer lacks an interface; not known for eni-1: assumed 350s";
    let table = [
        ("m8i.large", Ok(tracking(Some(1800))), format!("1800s {source}"), None),
        ("quantum1.large", Ok(tracking(Some(60))), format!("60s {source}"), None),
        ("m8i.large", Ok(tracking(None)), format!("350s {source} (not set: default of m8i, Nitro v6)"), None),
        ("m8g.large", Ok(tracking(None)), format!("432000s {source} (not set: default of m8g, Nitro v5)"), None),
        ("m6i.large", Ok(tracking(None)), format!("432000s {source} (not set: default of m6i, before Nitro v5)"), None),
        (
            "quantum1.large",
            Ok(tracking(None)),
            "350s default of its kind".to_owned(),
            Some(format!(
                "{not_set}, and \"quantum1\" is not a known instance family; not known for eni-1: assumed 350s"
            )),
        ),
        (
            "m8g.large",
            unanswered(INTERFACES),
            "350s default of its kind".to_owned(),
            Some(format!("{INTERFACES}: {DENIED}; not known for eni-1: assumed 350s")),
        ),
        ("m8g.large", Ok(HashMap::new()), "350s default of its kind".to_owned(), Some(lacks.to_owned())),
    ];
    for (instance_type, tracking, expected, note) in table {
        let found = of_interface(instance_type, tracking);
        assert_eq!(lines(&found), [format!("eni-1 eni {expected}, local 10.0.1.5/32 or 10.0.1.16/28")]);
        assert_eq!(found.notes, note.into_iter().collect::<Vec<_>>(), "{instance_type}");
    }
}

#[test]
fn values_that_are_not_documented_are_not_taken() {
    let found = of_interface("m8g.large", Ok(tracking(Some(30))));
    assert_eq!(lines(&found), ["eni-1 eni 350s default of its kind, local 10.0.1.5/32 or 10.0.1.16/28"]);
    assert!(found.notes[0].starts_with("eni-1: invalid timeout 30s: eni takes 60s"), "{:?}", found.notes);
    assert!(found.notes[0].ends_with(": assumed 350s"), "{:?}", found.notes);
}

#[test]
fn listeners() {
    let scope = "peer 10.0.9.7/32 or 2001:db8::7/128";
    let tcp = |timeout| ListenerProtocol::Tcp(timeout);
    let source = "discovered by elasticloadbalancing:DescribeListenerAttributes";
    let table = [
        (tcp(Ok(Some(Duration::from_secs(1800)))), format!("nlb-tcp 1800s {source}")),
        (tcp(Ok(None)), "nlb-tcp 350s default of its kind".to_owned()),
        (tcp(unanswered(ATTRIBUTES)), "nlb-tcp 350s default of its kind".to_owned()),
        (ListenerProtocol::Tls, "nlb-tls 350s default of its kind".to_owned()),
    ];
    for (protocol, expected) in table {
        let found = of_balancer(Ok(vec![BalancerListener { port: 5432, protocol }]));
        assert_eq!(lines(&found), [format!("nlb-db-5432 {expected}, {scope} port 5432")]);
    }
    let found = of_balancer(unanswered("elasticloadbalancing:DescribeListeners"));
    assert_eq!(lines(&found), [format!("nlb-db nlb-tcp 350s default of its kind, {scope}")]);
    let note = format!("elasticloadbalancing:DescribeListeners: {DENIED}; not known for nlb-db: assumed 350s");
    assert_eq!(found.notes, [note]);
}

#[test]
fn one_reason_is_one_note() {
    let listener = |port| BalancerListener { port, protocol: ListenerProtocol::Tcp(unanswered(ATTRIBUTES)) };
    let found = of_balancer(Ok((1..=5).map(listener).collect()));
    assert_eq!(found.hops.len(), 5);
    let note = format!("{ATTRIBUTES}: {DENIED}; not known for nlb-db-1, nlb-db-2, nlb-db-3 and 2 more: assumed 350s");
    assert_eq!(found.notes, [note]);
}

#[test]
fn nothing_answered_is_nothing_known() {
    let instance = Err(Unanswered { call: "imds", why: "no token".to_owned() });
    let found = discover(&Answers { instance, tracking: unanswered(INTERFACES), balancers: unanswered(INTERFACES) });
    assert_eq!(found.hops, []);
    let notes = [
        "imds: no token; no interfaces are known: flows without a hop use --timeout".to_owned(),
        format!("{INTERFACES}: {DENIED}; no load balancers are known: assumed none"),
    ];
    assert_eq!(found.notes, notes);
}
