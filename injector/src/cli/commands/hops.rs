//! Hops from the command line, from the file and from the cloud, put together.

use super::ask;
use crate::{
    cli::HopArgs,
    config::Config,
    discovery,
    error::Error,
    hop::{Hop, conflicts},
};

/// All hops: those that are [`configured`], and those that the cloud names where it is
/// to be asked. Waits for its answer.
pub(super) fn load(args: &HopArgs) -> anyhow::Result<Config> {
    let mut config = configured(args)?;
    config.attach.discover = args.discover.or(config.attach.discover);
    if discovery::interval(&config.attach)?.is_some() {
        config.hops = ask::once(&config.hops)?;
    }
    Ok(config)
}

/// Loads the file, and adds the hops of the command line: each takes the place
/// of the file's hop of the same name.
pub(super) fn configured(args: &HopArgs) -> Result<Config, Error> {
    let mut config = args.config.as_deref().map(Config::load).transpose()?.unwrap_or_default();
    config.hops = merge(config.hops, &args.hops)?;
    Ok(config)
}

fn merge(mut hops: Vec<Hop>, flags: &[Hop]) -> Result<Vec<Hop>, Error> {
    hops.retain(|hop| flags.iter().all(|flag| flag.name != hop.name));
    hops.extend_from_slice(flags);
    let Some(conflict) = conflicts(&hops).into_iter().next() else { return Ok(hops) };
    let value = hops[conflict.hops().1].name.clone();
    Err(Error::BadValue { what: "--hop", value, expected: conflict.to_string() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::hop::HopArg;

    fn hops(args: &[&str]) -> Vec<Hop> {
        args.iter().map(|text| HopArg::parse_hop(text).expect(text)).collect()
    }

    #[test]
    fn the_command_line_replaces_hops_of_the_file() {
        let file = hops(&["a=eni:60s", "b=nlb-tcp:60s"]);
        let merged = merge(file.clone(), &hops(&["a=eni:90s"])).expect("no conflict");
        let found: Vec<_> = merged.iter().map(|hop| (hop.name.as_str(), hop.timeout.as_secs())).collect();
        assert_eq!(found, [("b", 60), ("a", 90)]);
        let error = merge(file, &hops(&["c=eni:90s"])).expect_err("a conflict").to_string();
        assert_eq!(
            error,
            "--hop is c: \"c\" says 90s where \"a\" says 60s for the same eni, anywhere: keep one of them, or give them different places"
        );
        assert!(merge(vec![], &hops(&["a=eni", "a=gwlb"])).is_err());
        assert_eq!(merge(vec![], &hops(&["a=eni"])).expect("one hop")[0].timeout, Duration::from_secs(350));
    }
}
