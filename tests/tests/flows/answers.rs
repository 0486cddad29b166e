//! Only what a peer answers counts: what is sent into the void does not, and what arrives does.

use std::time::Duration;

use injector_tests::{Agent, Route, Status, connected, eventually};

use crate::scene::{SOON, Scene, flow_of};

/// From now on drops what matches.
fn drop_packets(scene: &Scene, what: &str) {
    scene.netns.nft(&format!(
        "table inet void {{
            chain input {{
                type filter hook input priority 0; policy accept;
                {what} drop
            }}
        }}"
    ));
}

/// The everyday case: a request on a pooled connection that is dead, and the pool closes it.
#[test]
fn a_request_on_a_dead_connection_does_not_revive_it() {
    let scene = Scene::new("dead-pool");
    let configuration = "cgroups = [\"{cgroup}\"]\ntimeout = \"3s\"\non_conflict = \"respect\"\n";
    let agent = Agent::start(&scene.injector, &scene.inside, configuration);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, far) = connected(&mut client, &mut server, Route::V4);
    client.set(&near, "SO_KEEPALIVE", 0);
    let port = far.local.port();
    drop_packets(&scene, &format!("tcp dport {port}"));
    eventually("it is overdue", SOON, || agent.log().contains("event=\"overdue\"").then_some(()));
    client.send(&near, "request").unwrap();
    std::thread::sleep(Duration::from_secs(2));
    agent.shows("flows{status=\"overdue\"}", 1.0);
    client.close(&near);
    agent.shows("flows_lost_total", 1.0);
    assert!(!agent.log().contains("event=\"recovered\""), "{}", agent.log());
}

/// Its acknowledgements get lost, so probes go unanswered as far as the kernel's counter says; but data arrives.
#[test]
fn a_peer_that_sends_is_not_stalled() {
    let scene = Scene::new("not-stalled");
    let attachment = scene.attach(&["--timeout", "60s", "--idle", "1s", "--interval", "1s"]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, far) = connected(&mut client, &mut server, Route::V4);
    for _ in 0..20 {
        server.send(&far, "one way").unwrap();
    }
    // All is acknowledged by then: the server has nothing to send again.
    std::thread::sleep(Duration::from_millis(300));
    drop_packets(&scene, &format!("tcp sport {}", far.local.port()));
    eventually("it is stalled", SOON, || (flow_of(&attachment, &near).status == Status::Stalled).then_some(()));
    scene.netns.nft("delete table inet void");
    for _ in 0..10 {
        server.send(&far, "data").unwrap();
        let flow = flow_of(&attachment, &near);
        assert_eq!((flow.status, flow.keepalive.unanswered_probes), (Status::Protected, 0), "{flow:#?}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Those that a policy exempts by now are listed and warned of no more; and again when it is gone.
#[test]
fn flows_follow_the_policy_of_a_reload() {
    let scene = Scene::new("exempted");
    let plain = "cgroups = [\"{cgroup}\"]\ntimeout = \"3s\"\non_conflict = \"respect\"\n";
    let exempt = format!("{plain}[[policy]]\nkeepalive = \"exempt\"\n");
    let agent = Agent::start(&scene.injector, &scene.inside, plain);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    client.set(&near, "SO_KEEPALIVE", 0);
    eventually("it is overdue", SOON, || agent.log().contains("event=\"overdue\"").then_some(()));
    agent.configure(&exempt);
    agent.shows("flows{status=\"overdue\"}", 0.0);
    let listed = || scene.injector.flows(&scene.inside.attachment_name()).len();
    assert_eq!(listed(), 0);
    assert_eq!(agent.metric("flows_lost_total"), Some(0.0), "it is not gone");
    agent.configure(plain);
    agent.shows("flows{status=\"overdue\"}", 1.0);
    assert_eq!(listed(), 1);
}
