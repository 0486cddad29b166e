//! Another configuration takes the place of the one in force, or nothing
//! changes at all.

use std::{collections::BTreeSet, time::SystemTime};

use super::{
    member::Member,
    service,
    watcher::{LOOKING, Watcher},
};
use crate::agent::metrics::Reload;

impl Watcher {
    /// Reads the file and puts it in force. On any error all stays as it was.
    pub(super) fn reload(&mut self) {
        service::reloading();
        let result = match self.try_reload() {
            Ok(()) => {
                tracing::info!(file = %self.source.path().display(), "the configuration is in force");
                Reload::Taken(SystemTime::now())
            }
            Err(error) => {
                tracing::error!("the configuration is refused, and the one before it stays in force: {error:#}");
                Reload::Refused
            }
        };
        self.shared.metrics.figures().reloaded(result);
        service::ready();
    }

    fn try_reload(&mut self) -> anyhow::Result<()> {
        let mut plan = self.source.load()?;
        self.keep_discovered(&mut plan)?;
        let remarks = plan.remarks.clone();
        let before = std::mem::replace(&mut self.plan, plan);
        if let Err(error) = self.put_in_force() {
            self.plan = before;
            return Err(error);
        }
        for remark in remarks {
            tracing::warn!("{remark}");
        }
        let (was, is) = (&before.agent, &self.plan.agent);
        if (was.log, &was.pod_logs, &was.pod_cgroups) != (is.log, &is.pod_logs, &is.pod_cgroups) {
            tracing::warn!("log, pod_logs and pod_cgroups take effect when the agent is started again");
        }
        self.shared.hosts.replace(&is.allowed_hosts);
        self.discover_as_planned(&before);
        self.shared.metrics.figures().limits(self.plan.limits.clone());
        Ok(())
    }

    /// Makes the plan what is in force. Errors leave what was, except for the plan.
    /// Policies are met with the cgroups there are before anything is replaced.
    pub(super) fn put_in_force(&mut self) -> anyhow::Result<()> {
        let roots = self.members.keys().cloned().collect();
        let residents = self.residents(&roots, &mut BTreeSet::new());
        self.plan.survey(&residents)?;
        self.replace_rules()?;
        // What is attached beyond that is no matter of this file being right.
        if let Err(error) = self.attach(false) {
            self.journal.complain(LOOKING, &error);
        }
        Ok(())
    }

    /// The rules of the plan: in all attachments, or in none.
    pub(super) fn replace_rules(&mut self) -> anyhow::Result<()> {
        let before: Vec<_> = self.members.values().map(Member::rules).collect();
        let failed = self.members.values_mut().enumerate().find_map(|(index, member)| {
            self.shared.health.beat();
            member.replace(&self.plan.rules).err().map(|error| (index, error))
        });
        let Some((count, error)) = failed else { return Ok(()) };
        for (member, rules) in self.members.values_mut().zip(&before).take(count) {
            if let Err(error) = member.replace(rules) {
                tracing::error!(attachment = member.name(), "has the new rules while others have the old: {error:#}");
            }
        }
        Err(error)
    }
}
