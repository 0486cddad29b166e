//! HAProxy: both sides have all three values, since version 2.3.

use super::Limit;
use crate::rules::timing::Timing;

pub(super) fn text(limit: &Limit) -> String {
    let why = limit.keepalive_comment("#");
    let Timing { idle_s, interval_s, probes } = limit.timing;
    format!(
        "\
{why}# HAProxy 2.3 and later. Into the defaults section, or frontends (clitcpka) and backends (srvtcpka).
# Mind `timeout client`, `timeout server` and `timeout tunnel`: they count payload, so keepalive does not help there.
    option clitcpka
    clitcpka-idle {idle_s}s
    clitcpka-intvl {interval_s}s
    clitcpka-cnt {probes}
    option srvtcpka
    srvtcpka-idle {idle_s}s
    srvtcpka-intvl {interval_s}s
    srvtcpka-cnt {probes}
"
    )
}
