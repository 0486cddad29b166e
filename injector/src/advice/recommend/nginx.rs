//! nginx: all values for clients, a switch for upstream servers.

use super::Limit;
use crate::rules::timing::Timing;

pub(super) fn text(limit: &Limit) -> String {
    let why = limit.keepalive_comment("#");
    let Timing { idle_s, interval_s, probes } = limit.timing;
    format!(
        "\
{why}# Into the server block, of http or stream, in place of its own listen line: keep that one's address and
# parameters. Once per address and port: all server blocks share the socket.
listen 80 so_keepalive={idle_s}s:{interval_s}s:{probes};
# Upstream servers: a switch only (nginx 1.15.6). The times are those of the host: `injector recommend --for sysctl`.
proxy_socket_keepalive on;
# Mind keepalive_timeout, proxy_read_timeout and proxy_timeout: they count payload, so keepalive does not help there.
"
    )
}
