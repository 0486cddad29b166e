//! The image that ships, run as the manifest that ships has it.

use std::fs;

use injector_tests::{Cgroup, Churn, Container, FlowPod, Image, Load, Netns, Peer, Place, Route, connected};
use serde::Deserialize;
use serde_json::Value;

use super::pods::Kubelet;
use crate::scene::USUAL;

#[test]
fn others_tools_take_the_image() {
    let image = Image::find();
    let inspected = image.inspect(&[]);
    let labels = inspected["Labels"].as_object().expect("labels");
    // The Dockerfile repeats what the manifests have.
    for (label, value) in [
        ("version", env!("CARGO_PKG_VERSION")),
        ("source", env!("CARGO_PKG_REPOSITORY")),
        ("licenses", env!("CARGO_PKG_LICENSE")),
    ] {
        assert_eq!(labels[&format!("org.opencontainers.image.{label}")], value);
    }
    assert_eq!(inspected["Os"], "linux");
    let configuration = image.inspect(&["--config"]);
    assert_eq!(configuration["config"]["Entrypoint"][0], "/usr/local/bin/injector");

    let directory = tempfile::tempdir().expect("room");
    let bundle = directory.path().join("bundle");
    image.unpack(&bundle);
    let programs = fs::read_dir(bundle.join("rootfs/usr/local/bin")).expect("unpacked").count();
    assert_eq!((programs, bundle.join("rootfs/bin").exists()), (1, false), "no shell");
    let share = fs::read_dir(bundle.join("rootfs/usr/share/injector")).expect("unpacked").count();
    assert_eq!(share, 2, "the licences");
}

/// SECURITY.md#container
#[test]
fn it_works_with_exactly_what_the_manifest_gives_it() {
    let node = Cgroup::new("node");
    let kubelet = Kubelet::new(&node);
    let mut agent = Container::new(&node);
    Kubelet::name_in(&agent.logs());
    agent.start();

    let netns = Netns::new("workload");
    let place = Place::cgroup(&kubelet.container).on(&netns);
    let (mut client, mut server) = (Peer::spawn(place), Peer::spawn(place));
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    assert_eq!(client.keepalive(&near), USUAL);

    let list: Value = serde_json::from_str(&agent.get("/flows").body).expect("JSON");
    let flows = list["flows"].as_array().expect("flows").iter();
    let pods: Vec<FlowPod> = flows.map(|flow| FlowPod::deserialize(&flow["pod"]).expect("a pod")).collect();
    assert_eq!(pods, [Kubelet::pod(), Kubelet::pod()], "{list:#}");
    let metrics = agent.get("/metrics").body;
    for line in ["attached_cgroups 1.0", "sockets_total{direction=\"active\",outcome=\"injected\"} 1"] {
        assert!(metrics.contains(&format!("injector_{line}\n")), "{line}:\n{metrics}");
    }

    let load = Load { rate: 500, count: 5000, step: 1000 };
    let mut churn = Churn::start(place, load);
    while churn.step() {
        agent.kill();
        agent.start();
    }
    let report = churn.report();
    assert_eq!((report.unprotected, report.idle.len()), (0, 1), "{report:?}");
    assert!(agent.log().contains("taken over as it was"), "{}", agent.log());
}

#[test]
fn a_missing_capability_is_one_clear_line() {
    let node = Cgroup::new("node");
    let agent = Container::new(&node);
    for missing in agent.capabilities() {
        let others: Vec<String> = agent.capabilities().into_iter().filter(|one| *one != missing).collect();
        let output = agent.run_with(&others);
        assert_eq!((output.code, output.stderr.lines().count()), (4, 1), "{output:?}");
        assert!(output.stderr.contains(&format!("{missing} missing")), "{output:?}");
    }
}
