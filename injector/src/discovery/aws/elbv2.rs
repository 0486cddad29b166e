//! Network Load Balancers, from Elastic Load Balancing.

use std::{collections::HashMap, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_elasticloadbalancingv2::{
    Client,
    types::{Listener as Described, ProtocolEnum},
};
use futures_util::{StreamExt as _, stream};
use ipnet::IpNet;

use super::{
    answers::{ATTRIBUTES, Answer, BALANCERS, Balancer, LISTENERS, Listener, Protocol, Unanswered},
    calls::Calls,
    ec2::balancer_interfaces,
};

/// The attribute of a listener.
const TIMEOUT: &str = "tcp.idle_timeout.seconds";
/// Load balancers that are asked about at the same time: few enough not to be
/// throttled, many enough for hundreds of them within the deadline.
const AT_ONCE: usize = 8;

/// Asks for the Network Load Balancers of the region, with their listeners.
pub(super) async fn balancers(calls: &Calls, config: &SdkConfig) -> Answer<Vec<Balancer>> {
    let mut addresses: HashMap<String, Vec<IpNet>> = HashMap::new();
    for interface in balancer_interfaces(calls, config).await? {
        addresses.entry(interface.balancer).or_default().extend(interface.prefixes);
    }
    if addresses.is_empty() {
        return Ok(Vec::new());
    }
    let client = Client::new(config);
    let arns = arns(calls, &client).await;
    let asked = addresses.into_iter().map(|(id, prefixes)| balancer(calls, &client, arns.as_ref(), id, prefixes));
    let mut balancers: Vec<Balancer> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
    balancers.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(balancers)
}

/// ARNs of all load balancers, by their ends: `net/NAME/ID`.
async fn arns(calls: &Calls, client: &Client) -> Answer<HashMap<String, String>> {
    let pages = client.describe_load_balancers().into_paginator().items().send();
    let balancers = calls.answer(BALANCERS, pages.collect::<Result<Vec<_>, _>>()).await?;
    let arns = balancers.into_iter().filter_map(|balancer| balancer.load_balancer_arn);
    Ok(arns.filter_map(|arn| Some((arn.split_once(":loadbalancer/")?.1.to_owned(), arn))).collect())
}

async fn balancer(
    calls: &Calls,
    client: &Client,
    arns: Result<&HashMap<String, String>, &Unanswered>,
    id: String,
    prefixes: Vec<IpNet>,
) -> Balancer {
    let name = id.split('/').nth(1).unwrap_or(&id).to_owned();
    let arn = arns.map_err(Unanswered::clone).and_then(|arns| {
        arns.get(&id).ok_or_else(|| Unanswered {
            call: BALANCERS,
            why: "the answer lacks a load balancer whose interface exists".to_owned(),
        })
    });
    let listeners = match arn {
        Ok(arn) => listeners(calls, client, arn).await,
        Err(unanswered) => Err(unanswered),
    };
    Balancer { name, prefixes, listeners }
}

async fn listeners(calls: &Calls, client: &Client, balancer: &str) -> Answer<Vec<Listener>> {
    let pages = client.describe_listeners().load_balancer_arn(balancer).into_paginator().items().send();
    let described = calls.answer(LISTENERS, pages.collect::<Result<Vec<_>, _>>()).await?;
    let mut listeners = Vec::new();
    for one in &described {
        listeners.extend(listener(calls, client, one).await);
    }
    Ok(listeners)
}

/// `None` for what carries no TCP.
async fn listener(calls: &Calls, client: &Client, described: &Described) -> Option<Listener> {
    let port = u16::try_from(described.port()?).ok()?;
    let protocol = match described.protocol()? {
        ProtocolEnum::Tls => Protocol::Tls,
        protocol if protocol.as_str().split('_').any(|part| part == "TCP") => {
            Protocol::Tcp(timeout(calls, client, described.listener_arn()?).await)
        }
        _ => return None,
    };
    Some(Listener { port, protocol })
}

async fn timeout(calls: &Calls, client: &Client, listener: &str) -> Answer<Option<Duration>> {
    let request = client.describe_listener_attributes().listener_arn(listener).send();
    let answer = calls.answer(ATTRIBUTES, request).await?;
    let value = answer.attributes().iter().find(|attribute| attribute.key() == Some(TIMEOUT));
    Ok(value.and_then(|attribute| attribute.value()?.parse().ok()).map(Duration::from_secs))
}
