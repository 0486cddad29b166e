//! Settings for places without eBPF, derived as injector derives its own: a file for each target, a pure function each.

mod aws_cli;
mod cloudformation;
mod envoy;
mod haproxy;
mod jdbc;
mod kafka;
mod launch_template;
mod limit;
mod mysql;
mod nginx;
mod postgresql;
mod range;
mod redis;
mod sysctl;
mod terraform;
mod windows;

use clap::ValueEnum;
pub(crate) use limit::Limit;

use crate::error::Error;

/// What the settings are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// Linux, for sockets that switch keepalive on themselves.
    Sysctl,
    /// PostgreSQL server.
    Postgresql,
    /// Redis or Valkey server.
    Redis,
    /// MySQL or MariaDB server.
    Mysql,
    /// Java connection pools and drivers.
    Jdbc,
    /// Kafka brokers and clients.
    Kafka,
    /// Envoy listeners and clusters.
    Envoy,
    /// HAProxy, both sides.
    Haproxy,
    /// nginx, both sides.
    Nginx,
    /// Windows registry.
    Windows,
    /// Timeouts of a network interface and an NLB listener, by AWS CLI.
    AwsCli,
    /// The same, as a CloudFormation template.
    Cloudformation,
    /// The same, for Terraform.
    Terraform,
    /// Timeout of the interfaces of an EC2 launch template.
    LaunchTemplate,
}

/// The settings for `target`, as text that it takes as it is.
///
/// Errors with [`Error::BadValue`] where the target is the hop itself and does
/// not take such a timeout.
pub(crate) fn text(target: Target, limit: &Limit) -> Result<String, Error> {
    Ok(match target {
        Target::Sysctl => sysctl::text(limit),
        Target::Postgresql => postgresql::text(limit),
        Target::Redis => redis::text(limit),
        Target::Mysql => mysql::text(limit),
        Target::Jdbc => jdbc::text(limit),
        Target::Kafka => kafka::text(limit),
        Target::Envoy => envoy::text(limit),
        Target::Haproxy => haproxy::text(limit),
        Target::Nginx => nginx::text(limit),
        Target::Windows => windows::text(limit),
        Target::AwsCli => aws_cli::text(limit, range::interface_and_listener(limit)?),
        Target::Cloudformation => cloudformation::text(limit, range::interface_and_listener(limit)?),
        Target::Terraform => terraform::text(limit, range::interface_and_listener(limit)?),
        Target::LaunchTemplate => launch_template::text(limit, range::interface(limit)?),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use injector_common::timer::probes_below;
    use proptest::prelude::*;

    use super::*;
    use crate::rules::timing::Timing;

    fn recommended(target: Target, seconds: u64) -> String {
        let limit = Limit::new(Duration::from_secs(seconds), None).expect("a limit that can be served");
        text(target, &limit).expect("in the target's range")
    }

    /// The number that follows the first `key` outside of comments.
    fn number(text: &str, key: &str) -> u32 {
        let found = text.lines().filter(|line| !line.trim_start().starts_with(['#', ';'])).find_map(|line| {
            let rest = &line[line.find(key)? + key.len()..];
            let digits = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            digits[..end].parse().ok()
        });
        found.unwrap_or_else(|| panic!("no number after {key:?} in\n{text}"))
    }

    /// Keepalive as the target would run it.
    fn timing(target: Target, text: &str) -> Timing {
        let [idle, interval, probes] = match target {
            Target::Sysctl => ["keepalive_time =", "keepalive_intvl =", "keepalive_probes ="],
            Target::Postgresql => ["keepalives_idle =", "keepalives_interval =", "keepalives_count ="],
            Target::Mysql => ["tcp_keepalive_time =", "tcp_keepalive_interval =", "tcp_keepalive_probes ="],
            Target::Envoy => ["keepalive_time:", "keepalive_interval:", "keepalive_probes:"],
            Target::Haproxy => ["srvtcpka-idle", "srvtcpka-intvl", "srvtcpka-cnt"],
            Target::Nginx => {
                let so_keepalive = text.split("so_keepalive=").last().and_then(|rest| rest.split(';').next());
                let mut parts = so_keepalive.expect("one argument").split(':');
                let mut next = || parts.next().expect("three parts").trim_end_matches('s').parse().expect("a number");
                return Timing { idle_s: next(), interval_s: next(), probes: next() };
            }
            Target::Redis => {
                let period = number(text, "tcp-keepalive");
                return Timing { idle_s: period, interval_s: (period / 3).max(1), probes: 3 };
            }
            _ => unreachable!("{target:?} has no keepalive of its own"),
        };
        Timing { idle_s: number(text, idle), interval_s: number(text, interval), probes: number(text, probes) }
    }

    const WITH_KEEPALIVE: [Target; 7] = [
        Target::Sysctl,
        Target::Postgresql,
        Target::Redis,
        Target::Mysql,
        Target::Envoy,
        Target::Haproxy,
        Target::Nginx,
    ];

    /// Whether a timeout of these many seconds is refused, with the range.
    fn refusal(target: Target, seconds: u64) -> Option<String> {
        let limit = Limit::new(Duration::from_secs(seconds), None).expect("a limit that can be served");
        text(target, &limit).err().map(|error| error.to_string())
    }

    #[test]
    fn timeouts_that_a_hop_does_not_take() {
        let both = [Target::AwsCli, Target::Cloudformation, Target::Terraform];
        for target in both {
            for seconds in [2, 59, 6001, 432_000] {
                let refused = refusal(target, seconds).expect("out of the listener's range");
                assert!(refused.contains("--timeout") && refused.contains("60 to 6000"), "{refused}");
            }
            for seconds in [60, 350, 6000] {
                assert_eq!(refusal(target, seconds), None, "{target:?} {seconds}");
            }
        }
        for (seconds, taken) in [(59, false), (60, true), (6001, true), (432_000, true), (432_001, false)] {
            let refused = refusal(Target::LaunchTemplate, seconds);
            assert_eq!(refused.is_none(), taken, "{seconds}: {refused:?}");
            assert!(refused.is_none_or(|text| text.contains("60 to 432000")));
        }
        let limit = Limit::new(Duration::from_millis(90_500), None).expect("a limit that can be served");
        let refused = text(Target::LaunchTemplate, &limit).expect_err("half a second too much").to_string();
        assert!(refused.contains("whole seconds"), "{refused}");
    }

    #[test]
    fn a_hop_is_named_in_a_comment_and_stays_there() {
        let hop = Some("db\nnet.ipv4.ip_forward = 1".to_owned());
        let limit = Limit { hop, ..Limit::new(Duration::from_secs(350), None).expect("the usual limit") };
        for target in Target::value_variants() {
            let text = text(*target, &limit).expect("in every range");
            assert!(text.contains("db"), "{target:?}");
            assert!(!text.lines().any(|line| line.starts_with("net.ipv4.ip_forward")), "{target:?}: {text}");
        }
    }

    proptest! {
        #[test]
        fn three_probes_come_in_time(seconds in 4_u64..4_233_600) {
            for target in WITH_KEEPALIVE {
                let Timing { idle_s, interval_s, probes } = timing(target, &recommended(target, seconds));
                prop_assert!((1..=32_767).contains(&idle_s) && (1..=32_767).contains(&interval_s), "{:?}", target);
                let below = probes_below(seconds * 1000, idle_s, interval_s, probes);
                prop_assert!(below >= 3, "{:?}: {} probes below {} s", target, below, seconds);
            }
        }

        #[test]
        fn what_closes_idle_connections_does_so_in_time(seconds in 2_u64..4_233_600) {
            let closes = [(Target::Mysql, "wait_timeout =", 1), (Target::Kafka, "connections.max.idle.ms=", 1000)];
            for (target, key, per_second) in closes {
                let idle = u64::from(number(&recommended(target, seconds), key));
                prop_assert!(idle >= 1 && idle < seconds * per_second, "{:?}: {}", target, idle);
            }
        }

        #[test]
        fn hops_are_set_to_the_limit_and_the_listener_is_no_longer_than_the_interface(seconds in 60_u64..=6000) {
            for (target, interface, listener) in [
                (Target::AwsCli, "TcpEstablishedTimeout=", "tcp.idle_timeout.seconds,Value="),
                (Target::Cloudformation, "TcpEstablishedTimeout:", "Value:"),
                (Target::Terraform, "tcp_established_timeout", "tcp_idle_timeout_seconds"),
            ] {
                let text = recommended(target, seconds);
                prop_assert_eq!(u64::from(number(&text, interface)), seconds);
                prop_assert_eq!(u64::from(number(&text, listener)), seconds);
            }
        }
    }
}
