//! Policies: which flows they apply to.

use std::fs;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use injector_tests::{Agent, Cgroup, Keepalive, Peer, Place, Route, connected, eventually};

use super::agent;
use crate::scene::{SOON, Scene, USUAL};

const UID: &str = "1858680e-b044-4fd5-9dd4-f137e30e2180";

/// What a connection of this cgroup to a server outside gets.
fn keepalive_in(scene: &Scene, cgroup: &Cgroup, route: Route) -> Keepalive {
    let (mut client, mut server) = (Peer::spawn(Place::cgroup(cgroup).on(&scene.netns)), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, route);
    client.keepalive(&near)
}

/// Waits until a fresh connection of this cgroup has this keepalive.
fn becomes(scene: &Scene, cgroup: &Cgroup, expected: Keepalive) {
    let mut found = None;
    eventually(&format!("{expected:?}"), SOON, || {
        found = Some(keepalive_in(scene, cgroup, Route::V4));
        (found == Some(expected)).then_some(())
    });
}

#[test]
fn the_first_that_a_flow_meets_counts() {
    let scene = Scene::new("policies");
    let (exempt, strict, other) = (scene.inside.child("exempt"), scene.inside.child("strict"), scene.inside.child("o"));
    let below = strict.child("below");
    let _agent = agent(
        &scene,
        r#"
            cgroups = ["{cgroup}"]
            on_conflict = "respect"
            [[policy]]
            cgroup = "{cgroup}/exempt"
            keepalive = "exempt"
            [[policy]]
            cgroup = "{cgroup}/str*"
            remote = "127.0.0.0/8"
            keepalive = { idle = 60, interval = 7, probes = 5 }
            on_conflict = "enforce"
            [[policy]]
            remote = "::/0"
            direction = "active"
            keepalive = { idle = 80 }
            [[policy]]
            cgroup = "{cgroup}/strict"
            keepalive = "exempt"
        "#,
    );
    let strictly = Keepalive::on(60, 7, 5);
    assert_eq!(keepalive_in(&scene, &exempt, Route::V4).enabled, 0);
    assert_eq!(keepalive_in(&scene, &strict, Route::V4), strictly);
    assert_eq!(keepalive_in(&scene, &below, Route::V4), strictly, "one above it counts as well");
    assert_eq!(keepalive_in(&scene, &strict, Route::V6), Keepalive::on(80, 10, 9));
    assert_eq!(keepalive_in(&scene, &other, Route::V4), USUAL);
    assert_eq!(keepalive_in(&scene, &other, Route::V6), Keepalive::on(80, 10, 9));
    assert_eq!(scene.inside.program_ids("setsockopt").len(), 1, "one of them enforces");

    let (mut client, mut server) = (Peer::spawn(Place::cgroup(&below).on(&scene.netns)), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    client.set(&near, "TCP_KEEPIDLE", 7200);
    assert_eq!(client.keepalive(&near), strictly, "overruled");
    let (mut client, mut server) = (Peer::spawn(Place::cgroup(&other).on(&scene.netns)), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    client.set(&near, "TCP_KEEPIDLE", 7200);
    assert_eq!(client.keepalive(&near).idle, 7200, "respected");

    let (mut client, mut server) = (Peer::spawn(Place::cgroup(&exempt).on(&scene.netns)), scene.outside_peer());
    let _pair = connected(&mut client, &mut server, Route::V4);
    let status = scene.injector.status(&scene.inside.attachment_name());
    assert!(status.coverage.uncovered.is_empty(), "exempted connections are not missing: {status:#?}");
}

/// As in a pod: `/proc/PID/cgroup` has paths there that lead out of the namespace.
#[test]
fn adoption_works_from_within_a_cgroup_namespace() {
    let scene = Scene::new("policies-namespace");
    let (pod, own) = (scene.inside.child("pod"), scene.inside.child("own"));
    let (mut client, mut server) = (Peer::spawn(Place::cgroup(&pod).on(&scene.netns)), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    let join = r#"echo $$ > "$0/cgroup.procs" && exec unshare --cgroup "$@""#;
    let config =
        "cgroups = [\"{cgroup}\"]\n[[policy]]\ncgroup = \"{cgroup}/pod\"\nkeepalive = { idle = 60 }\nadopt = true\n";
    let _agent = Agent::start_through(&scene.injector, &["sh", "-c", join, own.path_text()], &scene.inside, config);
    let expected = Keepalive::on(60, 7, 9);
    eventually("it is adopted", SOON, || (client.keepalive(&near) == expected).then_some(()));
}

/// SECURITY.md#pods
#[test]
fn new_cgroups_and_pods_are_met_as_they_come() {
    let scene = Scene::new("policies-pods");
    let logs = tempfile::tempdir().expect("room");
    fs::create_dir_all(logs.path().join(format!("pods/shop_web-0_{UID}"))).expect("made");
    let config = format!(
        "cgroups = [\"{{cgroup}}\"]\npod_logs = {:?}\npod_cgroups = [\"{{cgroup}}/kubepods\"]\n[[policy]]\nnamespace = \"shop\"\nkeepalive = {{ idle = 60 }}\n\
         [[policy]]\ncgroup = \"{{cgroup}}/*/*/quiet\"\nkeepalive = \"exempt\"\n",
        logs.path().to_str().expect("text")
    );
    let agent = Agent::start(&scene.injector, &scene.inside, &config);
    let kubepods = scene.inside.child("kubepods");
    let pod = kubepods.child(&format!("pod{UID}"));
    becomes(&scene, &pod, Keepalive::on(60, 7, 9));
    assert_eq!(keepalive_in(&scene, &kubepods, Route::V4), USUAL);
    // The owner of a cgroup may name children as the kubelet does: they count for no pod.
    let (other, forged_root) = (scene.inside.child("delegated"), "kubepods");
    let root = other.child(forged_root);
    let forged = root.child(&format!("pod{UID}"));
    eventually("the agent has looked", SOON, || {
        (agent.metric("attached_cgroups") == Some(1.0) && agent.get("/readyz").code == 200).then_some(())
    });
    assert_eq!(keepalive_in(&scene, &forged, Route::V4), USUAL);
    // Another set of policies: the rules are replaced.
    let beside = kubepods.child("beside");
    let quiet = beside.child("quiet");
    eventually("it is exempt", SOON, || (keepalive_in(&scene, &quiet, Route::V4).enabled == 0).then_some(()));
    becomes(&scene, &pod, Keepalive::on(60, 7, 9));
    agent.configure(&config.replace("idle = 60", "idle = 50"));
    agent.shows("config_reloads_total{result=\"success\"}", 2.0);
    assert_eq!(keepalive_in(&scene, &pod, Route::V4), Keepalive::on(50, 6, 9));
}

/// Cgroups are their owners' to touch, to make and to remove: that costs the agent a share of its time, not all of it.
#[test]
fn owners_of_cgroups_can_not_keep_the_agent_busy() {
    const STORM: Duration = Duration::from_secs(4);
    let scene = Scene::new("policies-storm");
    let config = "cgroups = [\"{cgroup}\"]\n[[policy]]\ncgroup = \"{cgroup}/*/quiet\"\nkeepalive = \"exempt\"\n";
    let agent = agent(&scene, config);
    let owned = scene.inside.child("owned");
    let directory = fs::File::open(owned.path()).expect("it is there");
    let scans = || agent.metric("scan_duration_seconds_count").expect("exported");

    let before = scans();
    let started = Instant::now();
    while started.elapsed() < STORM {
        let now = SystemTime::now();
        directory.set_times(fs::FileTimes::new().set_accessed(now).set_modified(now)).expect("ours");
    }
    assert!(scans() - before <= 8.0, "{} scans while attributes change", scans() - before);

    let replaced = || agent.log().matches("rules replaced").count();
    let started = Instant::now();
    while started.elapsed() < STORM {
        let quiet = owned.child("quiet");
        thread::sleep(Duration::from_millis(5));
        drop(quiet);
    }
    assert!((1..=40).contains(&replaced()), "{} replacements", replaced());
}
