//! The BPF programs' own log: only a process that controls the host can write there.

use injector_tests::{Objects, PINS, tool};
use serde_json::Value;

use crate::scene::Scene;

const ASK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/map_by_id.py");

/// SECURITY.md#messages
#[test]
fn the_log_is_neither_pinned_nor_reachable_without_cap_sys_admin() {
    let scene = Scene::new("messages");
    let attachment = scene.attach(&["-vv"]);
    let is_log = |id: &&u64| {
        let text = tool("bpftool", &["--json", "map", "show", "id", &id.to_string()]);
        let map: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        map["name"] == "AYA_LOGS"
    };
    let maps = Objects::pinned(attachment.name()).maps;
    let log = maps.iter().find(is_log).unwrap_or_else(|| panic!("no log among {maps:?}")).to_string();
    let shown = tool("bpftool", &["--bpffs", "map", "show", "id", &log]);
    assert!(!shown.contains(PINS), "{shown}");
    let capabilities = ["--bounding-set", "-all,+bpf,+net_admin,+perfmon", "--inh-caps", "-all"];
    assert_eq!(tool("python3", &[ASK, &log]).trim(), "open", "root reaches it: the question is the right one");
    assert_eq!(tool("setpriv", &[&capabilities[..], &["python3", ASK, &log]].concat()).trim(), "EPERM");
}
