//! JDBC: drivers switch keepalive on, the operating system has the times, and
//! the pool can ask the database something in good time.

use super::Limit;
use crate::rules::timing::Timing;

/// HikariCP takes no shorter `keepaliveTime`.
const SHORTEST_S: u32 = 30;
/// It must stay below `maxLifetime`, 30 min unless set.
const LONGEST_S: u32 = 29 * 60;

pub(super) fn text(limit: &Limit) -> String {
    let why = limit.keepalive_comment("#");
    let Timing { idle_s, interval_s, probes } = limit.timing;
    let pool = pool(idle_s);
    format!(
        "\
{why}# A HikariCP properties file: new HikariConfig(\"/path/to/hikari.properties\").
# pgjdbc and MySQL Connector/J have this switch; the times are those of the operating system:
# set them too (`injector recommend --for sysctl` or `--for windows`). Without a pool: tcpKeepAlive=true in the URL.
dataSource.tcpKeepAlive=true
{pool}# MariaDB Connector/J 3.0.3 and later, on Java 11 and later, has times of its own, in the URL:
# tcpKeepAlive=true&tcpKeepIdle={idle_s}&tcpKeepInterval={interval_s}&tcpKeepCount={probes}
# Sockets that you make yourself (a driver's socketFactory), JDK 11 and later, jdk.net.ExtendedSocketOptions:
# SO_KEEPALIVE=true, TCP_KEEPIDLE={idle_s}, TCP_KEEPINTERVAL={interval_s}, TCP_KEEPCOUNT={probes}
"
    )
}

fn pool(idle_s: u32) -> String {
    if idle_s < SHORTEST_S {
        return format!("# No keepaliveTime: HikariCP takes {SHORTEST_S} s at least, which is too long here.\n");
    }
    let keepalive_ms = idle_s.min(LONGEST_S) * 1000;
    format!(
        "# The pool asks the database for a sign of life: any driver, but only connections that are not borrowed.\n\
         keepaliveTime={keepalive_ms}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_asks_within_its_range() {
        let table = [(29, None), (30, Some(30_000)), (240, Some(240_000)), (4114, Some(1_740_000))];
        for (idle_s, ms) in table {
            let line = ms.map(|ms| format!("keepaliveTime={ms}"));
            let text = pool(idle_s);
            let set = text.lines().find(|line| !line.starts_with('#'));
            assert_eq!(set, line.as_deref(), "{idle_s} s");
        }
    }
}
