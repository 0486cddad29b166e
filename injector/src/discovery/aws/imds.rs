//! The instance metadata service: `IMDSv2` only.

use std::error::Error as _;

use aws_config::imds::{Client, client::error::ImdsError};
use futures_util::future::try_join_all;
use ipnet::IpNet;

use super::{
    answers::{Answer, Instance, Interface, METADATA, Unanswered},
    calls::{Calls, causes},
};
use crate::hop::parse_prefix;

const MACS: &str = "/latest/meta-data/network/interfaces/macs/";
/// Addresses of an interface, and prefixes that are delegated to it.
const ADDRESSES: [&str; 4] = ["local-ipv4s", "ipv6s", "ipv4-prefix", "ipv6-prefix"];

/// Asks for the type, the region and the interfaces of this instance.
pub(super) async fn instance(calls: &Calls) -> Answer<Instance> {
    read(calls.metadata()).await.map_err(|error| Unanswered { call: METADATA, why: explain(&error) })
}

async fn read(metadata: &Client) -> Result<Instance, ImdsError> {
    let get = async |path: &str| metadata.get(path).await.map(String::from);
    // One after the other: the first one gets the token.
    let type_name = get("/latest/meta-data/instance-type").await?;
    let region = get("/latest/meta-data/placement/region").await?;
    let macs = get(MACS).await?;
    let interfaces = try_join_all(macs.lines().map(|mac| interface(metadata, mac.trim_end_matches('/')))).await?;
    Ok(Instance { type_name, region, interfaces })
}

async fn interface(metadata: &Client, mac: &str) -> Result<Interface, ImdsError> {
    let id = metadata.get(format!("{MACS}{mac}/interface-id")).await?.into();
    let lists = try_join_all(ADDRESSES.iter().map(|category| optional(metadata, format!("{MACS}{mac}/{category}"))));
    let prefixes = lists.await?.iter().flat_map(|list| prefixes(list)).collect();
    Ok(Interface { id, prefixes })
}

/// A category that interfaces need not have.
async fn optional(metadata: &Client, path: String) -> Result<String, ImdsError> {
    match metadata.get(path).await {
        Ok(text) => Ok(text.into()),
        Err(ImdsError::ErrorResponse(response)) if response.response().status().as_u16() == 404 => Ok(String::new()),
        Err(error) => Err(error),
    }
}

fn prefixes(list: &str) -> impl Iterator<Item = IpNet> {
    list.lines().filter_map(|line| parse_prefix(line.trim()).ok())
}

/// Where nothing comes back, the reason is unknown: there is no metadata, or its
/// answer ends its way before it reaches a container.
fn explain(error: &ImdsError) -> String {
    match error {
        ImdsError::ErrorResponse(response) => format!("HTTP status {}", response.response().status().as_u16()),
        ImdsError::FailedToLoadToken(_) | ImdsError::IoError(_) => format!(
            "no answer from the instance metadata (no EC2 instance, or a container without a hop limit of 2): {}",
            error.source().map(causes).unwrap_or_default()
        ),
        _ => causes(error),
    }
}
