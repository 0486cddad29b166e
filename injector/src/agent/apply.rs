//! The rules of a plan are applied: in all attachments, or in none.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use super::{
    member::Member,
    watcher::{LOOKING, Watcher},
};
use crate::rules::Rules;

impl Watcher {
    /// Applies the plan. Errors leave the previous rules applied, but not the previous plan. Policies are matched with
    /// the present cgroups before anything is replaced.
    pub(super) fn apply(&mut self) -> anyhow::Result<()> {
        let roots = self.members.keys().cloned().collect();
        let residents = self.residents(&roots, &mut BTreeSet::new());
        self.plan.survey(&residents)?;
        self.replace_rules()?;
        // Failing to attach more cgroups does not make these rules wrong.
        if let Err(error) = self.attach(false) {
            self.sink.failed(LOOKING, &error);
        }
        Ok(())
    }

    /// Replaces the rules of all attachments by those of the plan.
    ///
    /// Errors leave the previous ones, in all of them.
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

    /// Restores the previous rules of the first ones. The last of them is the one that failed: it may have half of the
    /// new rules.
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
