//! Envoy: fields for connections it opens, raw socket options for those it
//! accepts.

use super::Limit;
use crate::rules::timing::Timing;

/// Levels and names are those of Linux. Accepted sockets inherit the options of
/// their listening one.
pub(super) fn text(limit: &Limit) -> String {
    let why = limit.keepalive_comment("#");
    let Timing { idle_s, interval_s, probes } = limit.timing;
    format!(
        "\
{why}# Merge both lists into your own listeners and clusters, or their equivalents from the control plane.
# Mind Envoy's own idle_timeout of the TCP proxy (1h unless set): it counts payload, so keepalive does not help there.
static_resources:
  listeners:
    - name: your_listener
      # Connections that Envoy accepts (numbers of Linux).
      socket_options:
        - {{ description: SO_KEEPALIVE, level: 1, name: 9, int_value: 1, state: STATE_PREBIND }}
        - {{ description: TCP_KEEPIDLE, level: 6, name: 4, int_value: {idle_s}, state: STATE_PREBIND }}
        - {{ description: TCP_KEEPINTVL, level: 6, name: 5, int_value: {interval_s}, state: STATE_PREBIND }}
        - {{ description: TCP_KEEPCNT, level: 6, name: 6, int_value: {probes}, state: STATE_PREBIND }}
  clusters:
    - name: your_cluster
      # Connections that Envoy opens.
      upstream_connection_options:
        tcp_keepalive:
          keepalive_time: {idle_s}
          keepalive_interval: {interval_s}
          keepalive_probes: {probes}
"
    )
}
