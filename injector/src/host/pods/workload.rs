//! From a pod's name to the workload it belongs to: a guess, since only the API server knows the owner.
//!
//! Controllers add suffixes of a known form (`k8s.io/apimachinery/pkg/util/rand`): random ones of five characters from
//! an alphabet without vowels and look-alikes; the hash of a pod template, written with the ten of them that stand for
//! digits; ordinals; and minutes since 1970 for a cron job's jobs. They are removed:
//!
//! | pod | made by | workload |
//! |---|---|---|
//! | `web-7d9f4c8b6f-2xkpt` | deployment | `web` |
//! | `logs-x7k2p` | daemon set, replica set, job | `logs` |
//! | `db-0` | stateful set | `db` |
//! | `report-28900320-zx8wq` | cron job | `report` |
//!
//! Wrong where a name only looks like that (a bare pod `nginx-1` becomes `nginx`), and where a name of 58 characters or
//! more was cut to make room for its suffix. A static pod carries its node's name and keeps it.

use std::ops::RangeInclusive;

/// Random suffixes are written with these.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Those of them that the digits of a hash become.
const HASH_ALPHABET: &[u8] = b"456789bcdf";
/// Length of a random suffix.
const RANDOM: usize = 5;
/// Digits of a hash of 32 bits; hardly any has fewer.
const HASH: RangeInclusive<usize> = 5..=10;
/// Digits of a cron job's minute: from 1989 to 2160.
const MINUTE: usize = 8;
/// Most digits of an ordinal (`i32`).
const ORDINAL: usize = 10;

/// The workload that a pod of this name belongs to; the pod's own name where nothing is to be removed.
pub fn workload_of(pod: &str) -> &str {
    let Some((rest, last)) = split(pod) else { return pod };
    // One in 850 of these is of digits alone, as an ordinal is.
    let is_random = last.len() == RANDOM && is_of(last, ALPHABET);
    let is_ordinal = last.len() <= ORDINAL && is_number(last);
    match split(rest) {
        Some((name, hash)) if is_random && HASH.contains(&hash.len()) && is_of(hash, HASH_ALPHABET) => name,
        Some((name, minute)) if is_random && minute.len() == MINUTE && is_number(minute) => name,
        _ if is_random || is_ordinal => rest,
        _ => pod,
    }
}

fn split(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('-').filter(|(rest, last)| !rest.is_empty() && !last.is_empty())
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_of(text: &str, alphabet: &[u8]) -> bool {
    text.bytes().all(|byte| alphabet.contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn workloads() {
        for (pod, workload) in [
            ("web-7d9f4c8b6f-2xkpt", "web"),
            ("coredns-668d6bf9bc-m6h4k", "coredns"),
            ("my-app-v2-5c4d8f66b-zzz2x", "my-app-v2"),
            ("web-7d9f4c8b6f-24567", "web"),
            ("report-28900320-24567", "report"),
            ("kube-proxy-x7k2p", "kube-proxy"),
            ("logs-24567", "logs"),
            ("db-0", "db"),
            ("kafka-broker-12", "kafka-broker"),
            ("report-28900320-zx8wq", "report"),
            ("etcd-control-plane", "etcd-control-plane"),
            ("etcd-ip-10-0-1-5.ec2.internal", "etcd-ip-10-0-1-5.ec2.internal"),
            ("web", "web"),
            ("web-hello", "web-hello"),
            ("web-admin-x7k2p", "web-admin"),
            ("-0", "-0"),
            ("", ""),
            // `fff` is no hash that any template would have: too short.
            ("web-fff-x7k2p", "web-fff"),
        ] {
            assert_eq!(workload_of(pod), workload, "{pod}");
        }
    }

    proptest! {
        #[test]
        fn a_workload_is_a_part_of_the_name(pod in "\\PC{0,40}") {
            let workload = workload_of(&pod);
            prop_assert!(pod.starts_with(workload));
            prop_assert_eq!(workload.is_empty(), pod.is_empty());
        }
    }
}
