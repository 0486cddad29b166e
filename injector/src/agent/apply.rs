//! The rules of a plan are applied: in all attachments, or in none.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use super::{
    member::Member,
    watcher::{LOOKING, Watcher},
};
use crate::rules::Rules;

impl Watcher {
    /// Applies the plan. Errors leave what was, except for the plan.
    /// Policies are met with the cgroups there are before anything is replaced.
    pub(super) fn apply(&mut self) -> anyhow::Result<()> {
        let roots = self.members.keys().cloned().collect();
        let residents = self.residents(&roots, &mut BTreeSet::new());
        self.plan.survey(&residents)?;
        self.replace_rules()?;
        // What is attached beyond that is no matter of these rules being right.
        if let Err(error) = self.attach(false) {
            self.sink.failed(LOOKING, &error);
        }
        Ok(())
    }

    /// Replaces the rules of all attachments by those of the plan.
    ///
    /// Errors leave those that were, in all of them.
    pub(super) fn replace_rules(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        let before: Vec<_> = self.members.values().map(Member::rules).collect();
        let failed = self.members.values_mut().enumerate().find_map(|(index, member)| {
            self.shared.health.beat();
            member.replace(&self.plan.rules).err().map(|error| (index, error))
        });
        let result = match failed {
            Some((failed, error)) => {
                self.roll_back(&before[..=failed]);
                Err(error)
            }
            None => Ok(()),
        };
        self.replacements.done(start, Instant::now());
        result
    }

    /// Gives the first ones the rules back that they had before. The last of them
    /// is the one that failed: it may have got half of the new ones.
    fn roll_back(&mut self, before: &[Arc<Rules>]) {
        for (member, rules) in self.members.values_mut().zip(before) {
            self.shared.health.beat();
            if let Err(error) = member.replace(rules) {
                let error = error.context("it has new rules while others have the previous ones");
                self.sink.failed(member.name(), &error);
            }
        }
    }
}
