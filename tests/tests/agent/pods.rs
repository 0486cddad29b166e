//! The pods that flows belong to.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use injector_tests::{Agent, Cgroup, FlowPod, Peer, Place, Route, connected};
use serde_json::Value;

use crate::scene::Scene;

const UID: &str = "1858680e-b044-4fd5-9dd4-f137e30e2180";
const ID: &str = "5694f82f44168cc048e014ae14d1b0c8ef673bec49f329dc169911ea638f63c2";

/// A pod's cgroups, as the kubelet and containerd with the systemd driver lay them out.
pub(super) struct Kubelet {
    pub(super) container: Cgroup,
    // From the leaves up, which is how they have to go.
    _slices: [Cgroup; 3],
}

impl Kubelet {
    pub(super) fn new(parent: &Cgroup) -> Self {
        let kubepods = parent.child("kubepods.slice");
        let burstable = kubepods.child("kubepods-burstable.slice");
        let pod = burstable.child(&format!("kubepods-burstable-pod{}.slice", UID.replace('-', "_")));
        let container = pod.child(&format!("cri-containerd-{ID}.scope"));
        Self { container, _slices: [pod, burstable, kubepods] }
    }

    /// What it names the pod's log directory and its container's log in `/var/log`, which here is `logs`.
    pub(super) fn name_in(logs: &Path) {
        fs::create_dir_all(logs.join(format!("pods/shop_web-7d9f4c8b6f-2xkpt_{UID}"))).expect("made");
        fs::create_dir_all(logs.join("containers")).expect("made");
        let link = logs.join(format!("containers/web-7d9f4c8b6f-2xkpt_shop_app-{ID}.log"));
        symlink("/nowhere", link).expect("made");
    }

    /// The pod, by name.
    pub(super) fn pod() -> FlowPod {
        FlowPod { namespace: "shop".into(), name: "web-7d9f4c8b6f-2xkpt".into(), container: Some("app".into()) }
    }
}

#[test]
fn pods_are_identified_by_cgroup_and_logs() {
    let scene = Scene::new("agent-pods");
    let kubelet = Kubelet::new(&scene.inside);
    let logs = tempfile::tempdir().expect("room");
    Kubelet::name_in(logs.path());

    let config = format!(
        "cgroups = [\"{{cgroup}}/kubepods*\"]\ntimeout = \"4s\"\non_conflict = \"respect\"\nlog = \"json\"\npod_logs = {:?}\n\
         pod_cgroups = [\"{{cgroup}}/kubepods.slice\"]\n",
        logs.path().to_str().expect("text")
    );
    let agent = Agent::start(&scene.injector, &scene.inside, &config);
    let (mut client, mut server) =
        (Peer::spawn(Place::cgroup(&kubelet.container).on(&scene.netns)), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    client.set(&near, "SO_KEEPALIVE", 0);
    agent.shows("flows_at_risk{pod_namespace=\"shop\",workload=\"web\"}", 1.0);

    let list: Value = serde_json::from_str(&agent.get("/flows?at_risk=1").body).expect("JSON");
    let found: FlowPod = serde_json::from_value(list["flows"][0]["pod"].clone()).expect("a pod");
    assert_eq!(found, Kubelet::pod(), "{list:#}");
    assert!(!agent.get("/metrics").body.contains("2xkpt"), "no pod's name in a label");

    let log = agent.log();
    let warning = log.lines().find(|line| line.contains("flow at risk")).expect("a warning");
    let event: Value = serde_json::from_str(warning).expect("JSON");
    assert_eq!((&event["event"], &event["pod"]), (&"at_risk".into(), &"shop/web-7d9f4c8b6f-2xkpt".into()), "{event:#}");
}
