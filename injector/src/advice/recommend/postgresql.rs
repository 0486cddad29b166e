//! PostgreSQL: the server switches keepalive on for every client by itself.

use super::Limit;
use crate::rules::timing::Timing;

pub(super) fn text(limit: &Limit) -> String {
    let why = limit.keepalive_comment("#");
    let Timing { idle_s, interval_s, probes } = limit.timing;
    format!(
        "\
{why}# Into postgresql.conf or the parameter group of a managed database; a reload is enough.
# Connections that this host opens (libpq: applications, replication) take it in the connection string:
# keepalives_idle={idle_s} keepalives_interval={interval_s} keepalives_count={probes}
tcp_keepalives_idle = {idle_s}
tcp_keepalives_interval = {interval_s}
tcp_keepalives_count = {probes}
"
    )
}
