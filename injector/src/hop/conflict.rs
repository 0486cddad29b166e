//! Hops that conflict.

use std::{collections::HashMap, time::Duration};

use thiserror::Error;

use super::{Hop, Kind, Scope};

/// Two hops that conflict.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// The same name twice.
    #[error("there is another hop with the name {name:?}: give each its own")]
    Name {
        /// The name.
        name: String,
        /// Index of the first one.
        first: usize,
        /// Index of the second one.
        second: usize,
    },
    /// The same kind at the same place, with two timeouts.
    #[error(
        "{second_name:?} says {} where {first_name:?} says {} for the same {kind}, {scope}: keep one of them, or give them different places",
        crate::units::exact(*.second_timeout), crate::units::exact(*.first_timeout)
    )]
    Contradiction {
        /// Index of the first one.
        first: usize,
        /// Index of the second one.
        second: usize,
        /// Name of the first one.
        first_name: String,
        /// Name of the second one.
        second_name: String,
        /// Timeout of the first one.
        first_timeout: Duration,
        /// Timeout of the second one.
        second_timeout: Duration,
        /// What both are.
        kind: Kind,
        /// Where both are.
        scope: String,
    },
    /// The same hop under two names.
    #[error("{second_name:?} repeats {first_name:?}: same kind, same timeout, {scope}; keep one of them")]
    Repeated {
        /// Index of the first one.
        first: usize,
        /// Index of the second one.
        second: usize,
        /// Name of the first one.
        first_name: String,
        /// Name of the second one.
        second_name: String,
        /// Where both are.
        scope: String,
    },
}

/// Finds hops that conflict, in the order of the later one.
pub(crate) fn conflicts(hops: &[Hop]) -> Vec<Conflict> {
    let mut names = HashMap::new();
    let mut scopes = HashMap::new();
    let mut found = Vec::new();
    for (second, hop) in hops.iter().enumerate() {
        if let Some(&first) = names.get(hop.name.as_str()) {
            found.push(Conflict::Name { name: hop.name.clone(), first, second });
        }
        names.entry(hop.name.as_str()).or_insert(second);
        for scope in hop.scope.parts() {
            match scopes.get(&(hop.kind, scope.clone())) {
                Some(&first) => found.push(clash(hops, first, second, &scope)),
                None => drop(scopes.insert((hop.kind, scope), second)),
            }
        }
    }
    found
}

fn clash(hops: &[Hop], first: usize, second: usize, scope: &Scope) -> Conflict {
    let (one, other) = (&hops[first], &hops[second]);
    let (first_name, second_name) = (one.name.clone(), other.name.clone());
    let scope = scope.to_string();
    if one.timeout == other.timeout {
        return Conflict::Repeated { first, second, first_name, second_name, scope };
    }
    Conflict::Contradiction {
        first,
        second,
        first_name,
        second_name,
        first_timeout: one.timeout,
        second_timeout: other.timeout,
        kind: one.kind,
        scope,
    }
}

impl Conflict {
    /// Indices of the two hops, the earlier one first.
    pub(crate) const fn hops(&self) -> (usize, usize) {
        match self {
            Self::Name { first, second, .. }
            | Self::Contradiction { first, second, .. }
            | Self::Repeated { first, second, .. } => (*first, *second),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hop::HopArg;

    fn hop(text: &str) -> Hop {
        text.parse::<HopArg>().and_then(|arg| arg.hop()).expect(text)
    }

    #[test]
    fn hops_that_conflict() {
        let table: [(&[&str], Option<&str>); 8] = [
            (&["a=eni", "b=nlb-tcp"], None),
            (&["a=eni", "a=nlb-tcp"], Some("another hop with the name \"a\"")),
            (&["a=eni:350s", "b=eni:60s"], Some("\"b\" says 60s where \"a\" says 350s for the same eni, anywhere")),
            (&["a=eni:350s", "b=eni"], Some("\"b\" repeats \"a\"")),
            (&["a=nlb-tcp:60s@10.0.0.0/8", "b=nlb-tcp:90s@10.1.0.0/16"], None),
            (&["a=nlb-tcp:60s@10.0.0.0/8", "b=nlb-tcp:90s@10.0.0.0/8:443"], None),
            (&["a=nlb-tcp:60s@10.0.0.1", "b=nlb-tcp:90s@[::ffff:10.0.0.1]"], Some("10.0.0.1/32")),
            (&["a=nlb-tcp:60s@10.0.0.1", "b=gwlb:90s@10.0.0.1"], None),
        ];
        for (args, expected) in table {
            let hops: Vec<_> = args.iter().map(|text| hop(text)).collect();
            let found: Vec<_> = conflicts(&hops).iter().map(ToString::to_string).collect();
            match expected {
                None => assert!(found.is_empty(), "{args:?}: {found:?}"),
                Some(part) => assert!(found.len() == 1 && found[0].contains(part), "{args:?}: {found:?}"),
            }
        }
    }
}
