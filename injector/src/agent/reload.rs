//! Reload: a new configuration is applied as a whole, or not at all.

use std::time::SystemTime;

use super::{service, watcher::Watcher};
use crate::agent::metrics::Reload;

impl Watcher {
    /// Reads the file and applies it. On any error the previous one stays applied.
    pub(super) fn reload(&mut self) {
        service::reloading();
        let result = match self.try_reload() {
            Ok(()) => {
                tracing::info!(file = %self.file(), "configuration applied");
                Reload::Taken(SystemTime::now())
            }
            Err(error) => {
                tracing::error!("configuration rejected; keeping the previous one: {error:#}");
                Reload::Refused
            }
        };
        self.shared.metrics.figures().reloaded(result);
        service::ready();
    }

    fn try_reload(&mut self) -> anyhow::Result<()> {
        let Some(source) = &mut self.source else { return Ok(()) };
        let mut plan = source.load()?;
        self.keep_discovered(&mut plan)?;
        let remarks = plan.remarks().to_vec();
        let before = std::mem::replace(&mut self.plan, plan);
        if let Err(error) = self.apply() {
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

    fn file(&self) -> String {
        self.source.as_ref().map(|source| source.path().display().to_string()).unwrap_or_default()
    }
}
