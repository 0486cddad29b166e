//! Another configuration takes the place of the one in force, or nothing
//! changes at all.

use std::time::SystemTime;

use super::{plan::Plan, service, watcher::Watcher};
use crate::metrics::Reload;

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
        let plan = self.source.load()?;
        self.replace(&plan)?;
        for remark in &plan.remarks {
            tracing::warn!("{remark}");
        }
        let before = std::mem::replace(&mut self.plan, plan);
        if before.agent.log != self.plan.agent.log || before.agent.pod_logs != self.plan.agent.pod_logs {
            tracing::warn!("log and pod_logs take effect when the agent is started again");
        }
        self.shared.metrics.figures().limits(self.plan.limits.clone());
        self.attach(false)
    }

    /// In all attachments, or in none.
    fn replace(&mut self, plan: &Plan) -> anyhow::Result<()> {
        let failed = self.members.values_mut().enumerate().find_map(|(index, member)| {
            self.shared.health.beat();
            member.replace(&plan.rules).err().map(|error| (index, error))
        });
        let Some((count, error)) = failed else { return Ok(()) };
        for member in self.members.values_mut().take(count) {
            if let Err(error) = member.replace(&self.plan.rules) {
                tracing::error!(attachment = member.name(), "has the new rules while others have the old: {error:#}");
            }
        }
        Err(error)
    }
}
