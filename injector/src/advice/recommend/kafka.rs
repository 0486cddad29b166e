//! Kafka switches `SO_KEEPALIVE` on everywhere (`Selector.java`) and has no
//! times for it, but closes idle connections, and opens them again at need.

use super::Limit;

/// The clients' own default of 9 min, which lies below the brokers' 10 min.
const CLIENT_DEFAULT_S: u32 = 540;

pub(super) fn text(limit: &Limit) -> String {
    let why = limit.comment("#");
    let idle_ms = limit.timing.idle_s.min(CLIENT_DEFAULT_S) * 1000;
    format!(
        "\
{why}# Java clients and brokers switch SO_KEEPALIVE on, with the times of the operating system: set those
# (`injector recommend --for sysctl`). librdkafka does with socket.keepalive.enable=true.
# This closes a connection that carries nothing before the hop drops it; the next request opens a new one.
# Into the properties of producers, consumers and admin clients, and of Connect and Streams.
# Brokers may keep their 10 min: it is better closed by the client, which sends next.
connections.max.idle.ms={idle_ms}
"
    )
}
