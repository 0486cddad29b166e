//! Linux: the times of sockets that switch keepalive on and choose none.

use super::Limit;
use crate::rules::timing::Timing;

pub(super) fn text(limit: &Limit) -> String {
    let why = limit.keepalive_comment("#");
    let Timing { idle_s, interval_s, probes } = limit.timing;
    format!(
        "\
{why}# Serves sockets, IPv4 and IPv6, that switch SO_KEEPALIVE on and choose no times themselves.
# Into /etc/sysctl.d/60-tcp-keepalive.conf, then `sysctl --system`. It holds per network namespace:
# Kubernetes: securityContext.sysctls of the pod. ECS, also on Fargate: systemControls of the container.
net.ipv4.tcp_keepalive_time = {idle_s}
net.ipv4.tcp_keepalive_intvl = {interval_s}
net.ipv4.tcp_keepalive_probes = {probes}
"
    )
}
