//! Which limits apply to a flow.

use injector_common::{
    decision::{Best, Choice, LOOKUPS, key},
    flow::{Endpoints, FlowRecord},
    stats::PASSIVE,
};

use crate::maps;

/// Looks the flow up. Lookups that can find nothing are no instructions either:
/// to the verifier they are dead code.
#[inline(always)]
pub fn choose(endpoints: &Endpoints, direction: u8) -> Choice {
    let mut best = Best::NONE;
    for lookup in LOOKUPS {
        if maps::lookups() & lookup != 0
            && let Some(index) = maps::rule(key(lookup, endpoints, direction == PASSIVE))
            && let Some(decision) = maps::decision(index)
        {
            best.consider(index, decision);
        }
    }
    best.choice
}

/// The choice in a record, made anew where it was made by other rules.
#[inline(always)]
pub fn of(record: &mut FlowRecord) -> Choice {
    if record.generation != maps::generation() {
        record.choice = choose(&record.endpoints, record.direction);
        record.generation = maps::generation();
    }
    record.choice
}
