//! Network interfaces, from EC2.

use std::{collections::HashMap, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_ec2::{
    Client,
    types::{Filter, NetworkInterface},
};
use ipnet::IpNet;

use super::{
    answers::{Answer, INTERFACES, Instance, Unanswered},
    calls::Calls,
};
use crate::hop::parse_prefix;

/// A load balancer's own interface.
#[derive(Debug)]
pub(super) struct BalancerInterface {
    /// `net/NAME/ID`, the end of the load balancer's ARN.
    pub(super) balancer: String,
    /// Its addresses.
    pub(super) prefixes: Vec<IpNet>,
}

/// Asks for `TcpEstablishedTimeout` of the instance's interfaces.
pub(super) async fn tracking(
    calls: &Calls,
    config: &SdkConfig,
    instance: Result<&Instance, &Unanswered>,
) -> Answer<HashMap<String, Option<Duration>>> {
    let instance = instance.map_err(Unanswered::clone)?;
    let ids = instance.interfaces.iter().map(|interface| interface.id.clone()).collect();
    // By filter, not by id: one that was just detached would be an error.
    let interfaces = described(calls, config, "network-interface-id", ids).await?;
    Ok(interfaces.iter().filter_map(|one| Some((one.network_interface_id()?.to_owned(), timeout(one)))).collect())
}

/// Asks for the interfaces of all Network Load Balancers of the region. Those
/// without connections yet are among them: a connection gets its keepalive when
/// it is established, which is too late to ask.
pub(super) async fn balancer_interfaces(calls: &Calls, config: &SdkConfig) -> Answer<Vec<BalancerInterface>> {
    let interfaces = described(calls, config, "interface-type", vec!["network_load_balancer".to_owned()]).await?;
    Ok(interfaces.iter().filter_map(balancer_interface).collect())
}

async fn described(
    calls: &Calls,
    config: &SdkConfig,
    filter: &str,
    values: Vec<String>,
) -> Answer<Vec<NetworkInterface>> {
    let filter = Filter::builder().name(filter).set_values(Some(values)).build();
    let pages = Client::new(config).describe_network_interfaces().filters(filter).into_paginator();
    calls.answer(INTERFACES, pages.items().send().collect::<Result<Vec<_>, _>>()).await
}

fn timeout(interface: &NetworkInterface) -> Option<Duration> {
    let seconds = interface.connection_tracking_configuration()?.tcp_established_timeout()?;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

fn balancer_interface(interface: &NetworkInterface) -> Option<BalancerInterface> {
    let balancer = interface.description()?.strip_prefix("ELB ").filter(|rest| rest.starts_with("net/"))?;
    let v4 = interface.private_ip_addresses().iter();
    let private = v4.clone().filter_map(|address| address.private_ip_address());
    let public = v4.filter_map(|address| address.association()?.public_ip());
    let v6 = interface.ipv6_addresses().iter().filter_map(|address| address.ipv6_address());
    let prefixes = private.chain(public).chain(v6).filter_map(|address| parse_prefix(address).ok()).collect();
    Some(BalancerInterface { balancer: balancer.to_owned(), prefixes })
}
