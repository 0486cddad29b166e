//! The system calls that a container may make, as the runtimes of Kubernetes have it by default.

use std::fs;

use serde_json::{Value, json};

/// The default profile that podman and CRI-O share. containerd's and Docker's are the same in what matters here.
const PROFILE: &str = "/usr/share/containers/seccomp.json";
/// What these capabilities have let a container do since 2022 (moby's pull request 43987, containerd's 7301). Debian's copy
/// of the profile is older.
const SINCE_2022: [(&str, &str); 2] = [("CAP_BPF", "bpf"), ("CAP_PERFMON", "perf_event_open")];

/// `RuntimeDefault` for a container with these capabilities, in the words of the OCI runtime specification.
pub(crate) fn runtime_default(capabilities: &[String]) -> Value {
    let profile = fs::read_to_string(PROFILE).unwrap_or_else(|error| panic!("cannot read {PROFILE}: {error}"));
    let profile: Value = serde_json::from_str(&profile).expect("the profile is JSON");
    let granted: Vec<&str> =
        SINCE_2022.iter().filter(|(one, _)| has(capabilities, one)).map(|(_, call)| *call).collect();
    let rules = profile["syscalls"].as_array().expect("the profile has rules");
    let mut rules: Vec<Value> =
        rules.iter().filter(|rule| applies(rule, capabilities)).map(|rule| runtime_rule(rule, &granted)).collect();
    rules.push(json!({ "names": granted, "action": "SCMP_ACT_ALLOW" }));
    rules.retain(|rule| rule["names"] != json!([]));
    json!({ "defaultAction": profile["defaultAction"], "defaultErrnoRet": profile["defaultErrnoRet"], "syscalls": rules })
}

/// Whether a rule is one for these capabilities and this machine.
fn applies(rule: &Value, capabilities: &[String]) -> bool {
    let names = |which: &str, what: &str| strings(&rule[which][what]);
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let (arches, not_arches) = (names("includes", "arches"), names("excludes", "arches"));
    names("includes", "caps").iter().all(|one| has(capabilities, one))
        && !names("excludes", "caps").iter().any(|one| has(capabilities, one))
        && (arches.is_empty() || arches.contains(&arch))
        && !not_arches.contains(&arch)
}

/// A rule without its conditions, and without the calls that are granted anyway.
fn runtime_rule(rule: &Value, granted: &[&str]) -> Value {
    let names: Vec<&str> = strings(&rule["names"]).into_iter().filter(|name| !granted.contains(name)).collect();
    let mut plain = json!({ "names": names, "action": rule["action"] });
    for key in ["args", "errnoRet"] {
        if !rule[key].is_null() && rule[key] != json!([]) {
            plain[key] = rule[key].clone();
        }
    }
    plain
}

fn has(capabilities: &[String], one: &str) -> bool {
    capabilities.iter().any(|capability| capability == one)
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
