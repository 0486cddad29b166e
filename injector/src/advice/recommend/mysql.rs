//! MariaDB has keepalive times, MySQL has none: it switches `SO_KEEPALIVE`
//! on with the times of its host (`check_connection` in `sql/sql_connect.cc`).

use super::Limit;
use crate::rules::timing::Timing;

pub(super) fn text(limit: &Limit) -> String {
    let why = limit.keepalive_comment("#");
    let Timing { idle_s, interval_s, probes } = limit.timing;
    format!(
        "\
{why}# Into my.cnf, or value by value into the parameter group of a managed database; then restart.
[mysqld]
# MariaDB 10.3 and later. MySQL has no such settings (loose_: it warns and goes on): it switches
# SO_KEEPALIVE on with the times of its host. Set those there: `injector recommend --for sysctl`.
loose_tcp_keepalive_time = {idle_s}
loose_tcp_keepalive_interval = {interval_s}
loose_tcp_keepalive_probes = {probes}
# Where the host is out of reach (managed MySQL): the server closes what idles before the hop drops it,
# and the client sees an end of file instead of no answer. Leave both lines out where keepalive serves.
# Have pools test or retire idle connections sooner than that.
wait_timeout = {idle_s}
interactive_timeout = {idle_s}
"
    )
}
