//! `injector run`.

use injector_tests::{Agent, Keepalive, Signal, pins};

use super::USUAL;
use crate::scene::{Scene, pair_in};
use crate::socket::{V4, V6, keepalive, set_idle};

const CONFIGURATION: &str = r#"
cgroups = ["{cgroup}"]
on_exit = "detach"
on_conflict = "respect"

[[policy]]
cgroup = "{cgroup}/strict"
keepalive = { idle = 60, interval = 10 }
on_conflict = "enforce"

[[policy]]
cgroup = "{cgroup}/quiet"
keepalive = "exempt"
"#;

/// Policies by cgroup, what it answers, and its end.
pub(super) fn run() {
    let scene = Scene::new();
    let [strict, quiet] = ["strict", "quiet"].map(|name| scene.cgroup.child(name));
    let mut agent = Agent::start(&scene.injector, &scene.cgroup, CONFIGURATION);
    for address in [V4, V6] {
        let enforced = Keepalive::on(60, 10, 9);
        for (cgroup, expected) in [(&scene.cgroup, USUAL), (&strict, enforced), (&quiet, Keepalive::UNTOUCHED)] {
            assert_eq!(keepalive(&pair_in(cgroup, address).connected), expected, "{}", cgroup.path_text());
        }
    }
    let [usual, enforced] = [&scene.cgroup, &strict].map(|cgroup| pair_in(cgroup, V4));
    set_idle(&usual.connected, 7200);
    assert_eq!(keepalive(&usual.connected).idle, 7200, "respected");
    assert_eq!(agent.get("/readyz").code, 200);
    assert_eq!(agent.metric("flows{status=\"exposed\"}"), Some(1.0), "{}", agent.get("/metrics").body);
    assert_eq!(agent.metric("flows{status=\"protected\"}"), Some(3.0), "{}", agent.get("/metrics").body);
    let name = scene.cgroup.attachment_name();
    assert!(pins(&name).is_some());
    assert_eq!(agent.stop(Signal::TERM).code, 0);
    assert_eq!(pins(&name), None);
    drop(enforced);
}
