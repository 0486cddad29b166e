//! Discovered hops, beside configured ones.

mod asker;
pub(crate) mod aws;
mod known;
pub(crate) mod local;

use std::{
    collections::BTreeSet,
    fmt::{self, Display, Formatter},
    time::Duration,
};

pub(crate) use asker::Asker;
pub(crate) use known::Known;
use serde::Serialize;

use crate::{
    error::Error,
    hop::{Hop, conflicts},
    rules::{
        settings::{DEFAULT_DISCOVER_INTERVAL, Settings},
        values::Discover,
    },
    units::exact,
};

/// The cloud answers within a few seconds; asking more often only leads to throttling.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// Hops that are asked for less often might as well be written into the file.
const MAX_INTERVAL: Duration = Duration::from_secs(7 * 86_400);

/// The result of discovery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Discovery {
    /// The hops on the path.
    pub hops: Vec<Hop>,
    /// What is unknown, and what is assumed instead; a line each.
    pub notes: Vec<String>,
}

/// How a hop changed since the last discovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct HopChange {
    /// The hop.
    pub hop: String,
    /// Its timeout before; `None` where there was none of that name.
    pub from_ms: Option<u32>,
    /// Its timeout now; `None` where it is gone.
    pub to_ms: Option<u32>,
}

/// All hops in their order, configured ones first. A configured hop replaces a discovered one for the same place, which
/// is noted.
pub(crate) fn beside(configured: &[Hop], discovery: Discovery) -> Discovery {
    let Discovery { hops, mut notes } = discovery;
    let all = [configured, &hops].concat();
    let mut giving_way = BTreeSet::new();
    for (first, second) in conflicts(&all).iter().map(crate::hop::Conflict::hops) {
        if giving_way.insert(second) {
            let (stays, goes) = (&all[first], &all[second]);
            notes.push(format!(
                "{} ({}) as discovered is replaced by {} ({}, {})",
                goes.name,
                exact(goes.timeout),
                stays.name,
                exact(stays.timeout),
                stays.source
            ));
        }
    }
    let stay = all.into_iter().enumerate().filter(|(index, _)| !giving_way.contains(index));
    Discovery { hops: stay.map(|(_, hop)| hop).collect(), notes }
}

/// What differs, in the order of the names.
pub(crate) fn changes(before: &[Hop], now: &[Hop]) -> Vec<HopChange> {
    let names: BTreeSet<&str> = before.iter().chain(now).map(|hop| hop.name.as_str()).collect();
    let find = |hops: &[Hop], name: &str| hops.iter().find(|hop| hop.name == name).cloned();
    let mut changes = Vec::new();
    for name in names {
        let (from, to) = (find(before, name), find(now, name));
        if from != to {
            let ms = |hop: Option<Hop>| hop.map(|hop| hop.timeout_ms());
            changes.push(HopChange { hop: name.to_owned(), from_ms: ms(from), to_ms: ms(to) });
        }
    }
    changes
}

/// `eni-1 350s`, `eni-1 350s -> 1800s`, `eni-1 gone`, `eni-1 350s elsewhere`.
impl Display for HopChange {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let text = |ms: u32| exact(Duration::from_millis(ms.into()));
        let hop = &self.hop;
        match (self.from_ms, self.to_ms) {
            (None, Some(to)) => write!(formatter, "{hop} {}", text(to)),
            (Some(from), Some(to)) if from != to => write!(formatter, "{hop} {} -> {}", text(from), text(to)),
            (Some(_), Some(to)) => write!(formatter, "{hop} {}, other addresses or source", text(to)),
            (_, None) => write!(formatter, "{hop} gone"),
        }
    }
}

/// How often to ask the cloud for hops; `None` where it is not to be asked.
///
/// Errors with [`Error::BadValue`] where this build can't ask, or should too
/// often or never.
pub(crate) fn interval(settings: &Settings) -> Result<Option<Duration>, Error> {
    let interval = settings.discover_interval.unwrap_or(DEFAULT_DISCOVER_INTERVAL);
    if !(MIN_INTERVAL..=MAX_INTERVAL).contains(&interval) {
        let expected = format!("give {} to {}", exact(MIN_INTERVAL), exact(MAX_INTERVAL));
        return Err(Error::BadValue { what: "--discover-interval", value: exact(interval), expected });
    }
    match settings.discover.unwrap_or_default() {
        Discover::None => Ok(None),
        Discover::Aws => aws::check_support().map(|()| Some(interval)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hop::{HopArg, Source};

    fn hops(args: &[&str]) -> Vec<Hop> {
        args.iter().map(|text| HopArg::parse_hop(text).expect(text)).collect()
    }

    fn discovered(args: &[&str]) -> Discovery {
        let source = Source::Discovered { by: "a call".to_owned() };
        let hops = hops(args).into_iter().map(|hop| Hop { source: source.clone(), ..hop }).collect();
        Discovery { hops, notes: vec![] }
    }

    #[test]
    fn configured_hops_stay() {
        let configured = hops(&["db=nlb-tcp:60s@10.0.0.1:443", "eni-1=eni:60s"]);
        let found = discovered(&["nlb-db=nlb-tcp:1800s@10.0.0.1:443", "eni-1=eni:350s@10.0.0.9", "nlb-x=nlb-tcp"]);
        let both = beside(&configured, found);
        let names: Vec<_> = both.hops.iter().map(|hop| hop.name.as_str()).collect();
        assert_eq!(names, ["db", "eni-1", "nlb-x"]);
        assert_eq!(
            both.notes,
            [
                "nlb-db (1800s) as discovered is replaced by db (60s, --hop)",
                "eni-1 (350s) as discovered is replaced by eni-1 (60s, --hop)"
            ]
        );
    }

    #[test]
    fn what_is_discovered_twice_counts_once() {
        let both = beside(&[], discovered(&["a=nlb-tcp:60s@10.0.0.1", "b=nlb-tcp:60s@10.0.0.1", "b=gwlb"]));
        assert_eq!(both.hops.len(), 1);
        assert_eq!(both.notes.len(), 2);
        assert_eq!(beside(&both.hops, Discovery::default()).hops, both.hops);
    }

    #[test]
    fn changes_are_reported_by_name() {
        let before = hops(&["a=eni:60s@10.0.0.1", "b=eni:60s@10.0.0.2", "c=eni:60s@10.0.0.3", "d=eni:60s@10.0.0.4"]);
        let now = hops(&["a=eni:90s@10.0.0.1", "b=eni:60s@10.0.0.7", "c=eni:60s@10.0.0.3", "e=eni:60s@10.0.0.5"]);
        let texts: Vec<_> = changes(&before, &now).iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["a 60s -> 90s", "b 60s, other addresses or source", "d gone", "e 60s"]);
        assert_eq!(changes(&now, &now), []);
    }
}
