//! The tables of the programs: a decision for every limit, and the rules that lead to them.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use injector_common::{
    attachment::Pace,
    conflict::RESPECT,
    decision::{BY_CGROUP, Decision, FALLBACK, HopName, NO_HOP, SAME_CONFLICT},
    keepalive::FlowPolicy,
};
use zerocopy::IntoBytes as _;

use crate::{
    error::Error,
    hop::{Hop, half_closed_by_default},
    rules::{
        policy::{Policy, Sets},
        settings::{self, Settings},
        trie::{Compiled, Entry, compile, no_limits},
        values::{OnConflict, Track},
    },
};

/// The rules of one generation.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own, and none excludes another")]
pub(crate) struct Rules {
    /// Decisions, the first one for flows that no rule names.
    pub decisions: Vec<Decision>,
    /// Keys with how many of their bits count, and the index of a decision.
    pub entries: Vec<Entry>,
    /// Lookups that can find anything.
    pub lookups: u32,
    /// Names of the hops, by their indices.
    pub hops: Vec<HopName>,
    /// Numbers of cgroups, as they are now: they come and go with these, and
    /// make no other rules.
    pub cgroups: Vec<(u64, u32)>,
    /// Whether packets are tracked, too.
    pub tracks_packets: bool,
    /// Whether the guard was requested, and is not just the default.
    asks_for_guard: bool,
    /// Whether this host refuses the guard.
    pub lacks_guard: bool,
    /// Whether that includes units of systemd, whose firewalls won't start then.
    pub tracks_regardless: bool,
}

impl Rules {
    /// From settings and hops, without policies.
    ///
    /// Errors where a setting does not go with a limit, naming both.
    pub(crate) fn new(settings: &Settings, hops: &[Hop]) -> Result<Self, Error> {
        Self::with(settings, hops, &[], &Sets::of(&[], &[]))
    }

    /// From settings and hops, with policies that select no cgroup or pod.
    ///
    /// Errors where one does: that needs a watch loop that follows new cgroups.
    pub(crate) fn without_selectors(settings: &Settings, hops: &[Hop], policies: &[Policy]) -> Result<Self, Error> {
        if let Some(index) = policies.iter().position(|policy| !policy.selector.selects_all()) {
            return Err(Error::BadValue {
                what: "[[policy]]",
                value: format!("for some cgroups or pods (the {}. one)", index + 1),
                expected: "`injector run` supports that, `attach` does not".to_owned(),
            });
        }
        Self::with(settings, hops, policies, &Sets::of(policies, &[]))
    }

    /// From settings and hops, with policies for the cgroups in `sets`.
    ///
    /// Errors as [`Self::new`] does.
    pub(crate) fn with(settings: &Settings, hops: &[Hop], policies: &[Policy], sets: &Sets) -> Result<Self, Error> {
        let loopback = settings.loopback.unwrap_or_default();
        let Compiled { mut decisions, entries, lookups } = compile(hops, policies, &sets.sets, loopback);
        for decision in &mut decisions {
            complete(decision, settings, hops)?;
        }
        decisions.insert(FALLBACK as usize, fallback(settings)?);
        let by_cgroup = policies.iter().any(|policy| !policy.selector.selects_all());
        Ok(Self {
            decisions,
            entries,
            lookups: lookups | if by_cgroup { BY_CGROUP } else { 0 },
            hops: hops.iter().map(|hop| HopName::new(&hop.name)).collect(),
            cgroups: sets.cgroups.clone(),
            asks_for_guard: [settings.on_conflict]
                .into_iter()
                .chain(policies.iter().map(|policy| policy.on_conflict))
                .flatten()
                .any(|rule| rule != OnConflict::Respect),
            lacks_guard: false,
            tracks_packets: settings.track.unwrap_or_default() != Track::Sockets,
            tracks_regardless: settings.track == Some(Track::PacketsRegardless),
        })
    }

    /// Whether any application may be overruled.
    pub(crate) fn overrules(&self) -> bool {
        let by_policy = |decision: &Decision| ![RESPECT, SAME_CONFLICT].contains(&decision.instead.conflict);
        self.fallback().conflict != RESPECT || self.decisions.iter().any(by_policy)
    }

    /// The same for a host that refuses the guard; `None` where it was requested, or is not needed.
    pub(crate) fn without_guard(&self) -> Option<Self> {
        if self.asks_for_guard || !self.overrules() {
            return None;
        }
        let mut rules = Self { lacks_guard: true, ..self.clone() };
        for decision in &mut rules.decisions {
            decision.policy.conflict = RESPECT;
        }
        Some(rules)
    }

    /// The policy for flows without a rule.
    pub(crate) fn fallback(&self) -> &FlowPolicy {
        &self.decisions[0].policy
    }

    /// How soon after each other flows can change their status.
    pub(crate) fn pace(&self) -> Pace {
        let limits = self.decisions.iter().map(|decision| (decision.policy.warn_ms, decision.policy.limit_ms));
        let timers = self.decisions.iter().map(|decision| (decision.layer7_warn_ms, decision.layer7_ms));
        let half_closed = self.decisions.iter().map(|decision| (decision.half_closed_warn_ms, decision.half_closed_ms));
        limits.chain(timers).chain(half_closed).filter(|&(_, limit_ms)| limit_ms > 0).fold(
            Pace::SLOWEST,
            |pace, (warn_ms, limit_ms)| Pace {
                first_ms: pace.first_ms.min(warn_ms),
                margin_ms: pace.margin_ms.min(limit_ms.saturating_sub(warn_ms)),
            },
        )
    }

    /// Identifies these rules.
    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write(self.decisions.as_bytes());
        hasher.write(self.hops.as_bytes());
        self.lookups.hash(&mut hasher);
        self.tracks_packets.hash(&mut hasher);
        for Entry { key, bits, decision } in &self.entries {
            hasher.write(key.as_bytes());
            (bits, decision).hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// For flows without a rule.
fn fallback(settings: &Settings) -> Result<Decision, Error> {
    let policy = settings::policy(settings)?;
    let half_closed = half_closed_by_default(Duration::from_millis(policy.limit_ms.into()));
    let (half_closed_ms, half_closed_warn_ms) = settings::half_closed(settings, half_closed);
    Ok(Decision {
        policy,
        half_closed_ms,
        half_closed_warn_ms,
        loopback: settings.loopback.unwrap_or_default().into(),
        ..no_limits()
    })
}

/// Adds what follows from the settings to the limits of a compiled decision.
fn complete(decision: &mut Decision, settings: &Settings, hops: &[Hop]) -> Result<(), Error> {
    let of = |hop: u32| hops.get(usize::try_from(hop).ok()?);
    if let Some(hop) = of(decision.hop) {
        decision.policy = settings::policy_for(settings, hop)?;
    }
    if let Some(hop) = of(decision.layer7_hop) {
        decision.layer7_warn_ms = settings::warn_mark(settings, hop)?;
    }
    if decision.half_closed_hop != NO_HOP {
        let limit = Duration::from_millis(decision.half_closed_ms.into());
        (decision.half_closed_ms, decision.half_closed_warn_ms) = settings::half_closed(settings, limit);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use injector_common::{
        conflict::{ENFORCE, TIGHTEN},
        decision::{BY_PEER, BY_PORT, SET_SHIFT},
        keepalive::Keepalive,
    };

    use super::*;
    use crate::{
        hop::{HopArg, Scope},
        rules::{
            policy::{Mode, PodCgroup, Selector},
            values::OnConflict,
        },
    };

    fn rules(args: &[&str]) -> Rules {
        let hops: Vec<_> = args.iter().map(|text| HopArg::parse_hop(text).expect(text)).collect();
        Rules::new(&Settings::default(), &hops).expect("they go together")
    }

    #[test]
    fn without_hops_there_is_the_fallback_alone() {
        let rules = rules(&[]);
        assert_eq!((rules.decisions.len(), rules.entries.len(), rules.lookups), (1, 0, 0));
        assert_eq!((rules.fallback().limit_ms, rules.fallback().keepalive.idle_s), (350_000, 240));
    }

    #[test]
    fn every_rule_leads_to_its_decision() {
        let rules = rules(&["db=nlb-tcp:1800s@10.0.9.0/24:5432", "lb=alb:60s@10.0.9.0/24"]);
        assert_eq!(rules.lookups, BY_PORT | BY_PEER);
        for entry in &rules.entries {
            let decision = &rules.decisions[entry.decision as usize];
            let (hop, limit_ms) = if entry.key.port == 5432 { (0, 1_800_000) } else { (NO_HOP, 0) };
            assert_eq!((decision.hop, decision.policy.limit_ms), (hop, limit_ms), "{entry:?}");
        }
    }

    #[test]
    fn policies_come_with_their_cgroups() {
        let policy = |cgroup: Option<&str>, keepalive, on_conflict| Policy {
            selector: Selector { cgroup: cgroup.map(|text| text.parse().expect(text)), ..Selector::default() },
            scope: Scope::ANYWHERE,
            keepalive,
            on_conflict,
            adopt: None,
        };
        let explicit = Mode::Explicit(Keepalive { idle_s: 60, interval_s: 8, probes: 9, user_timeout_ms: 0 });
        let policies = [policy(Some("a"), Mode::Exempt, None), policy(None, explicit, Some(OnConflict::Enforce))];
        let resident = PodCgroup { id: 7, path: "/a/b".to_owned(), pod: None };
        let sets = Sets::of(&policies, &[resident]);
        let rules = Rules::with(&Settings::default(), &[], &policies, &sets).expect("they go together");
        assert_eq!((rules.lookups, &rules.cgroups[..]), (BY_PEER | BY_CGROUP, &[(7, 1)][..]));
        assert!(rules.overrules());
        for entry in &rules.entries {
            let policy = rules.decisions[entry.decision as usize].instead.of(rules.fallback());
            let expected = if entry.key.scope >> SET_SHIFT == 1 { (0, TIGHTEN) } else { (60, ENFORCE) };
            assert_eq!((policy.keepalive.idle_s, policy.conflict), expected, "{entry:?}");
        }
        let error = Rules::without_selectors(&Settings::default(), &[], &policies).expect_err("asks for a cgroup");
        assert!(error.to_string().contains("the 1. one"), "{error}");
    }

    #[test]
    fn without_a_guard_calls_stand_unless_it_was_asked_for() {
        let with = |on_conflict, of_policy: Option<Option<OnConflict>>| {
            let policies: Vec<_> = of_policy
                .map(|on_conflict| Policy {
                    selector: Selector::default(),
                    scope: Scope::ANYWHERE,
                    keepalive: Mode::Derived,
                    on_conflict,
                    adopt: None,
                })
                .into_iter()
                .collect();
            let settings = Settings { on_conflict, ..Settings::default() };
            Rules::without_selectors(&settings, &[], &policies).expect("they go together")
        };
        let (respect, tighten) = (Some(OnConflict::Respect), Some(OnConflict::Tighten));
        let table = [
            (None, None, true),
            (None, Some(None), true),
            (None, Some(respect), true),
            (None, Some(tighten), false),
            (tighten, None, false),
            (Some(OnConflict::Enforce), None, false),
            (respect, None, false),
        ];
        for (on_conflict, of_policy, expected) in table {
            let without = with(on_conflict, of_policy).without_guard();
            assert_eq!(without.is_some(), expected, "{on_conflict:?} {of_policy:?}");
            if let Some(rules) = without {
                assert!(rules.lacks_guard && !rules.overrules());
                assert_eq!(rules.fallback().conflict, RESPECT);
            }
        }
    }

    #[test]
    fn other_rules_have_another_digest() {
        let table: [&[&str]; 4] = [&[], &["a=eni"], &["a=eni:60s"], &["b=eni"]];
        for (index, one) in table.iter().enumerate() {
            for (other_index, other) in table.iter().enumerate() {
                let is_same = rules(one).digest() == rules(other).digest();
                assert_eq!(is_same, index == other_index, "{one:?} {other:?}");
            }
        }
    }
}
