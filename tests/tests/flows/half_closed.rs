//! Connections that one side has ended: hops keep them for a shorter time.

use std::time::Duration;

use injector_tests::{Flow, Route, Socket, Status, connected, eventually};

use crate::scene::{SOON, Scene, find, flow_of};

/// Both ends of a connection whose client has sent all that it had to.
fn half_closed(scene: &Scene, arguments: &[&str]) -> (Flow, Flow) {
    let attachment = scene.attach(arguments);
    let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
    let (near, far) = connected(&mut client, &mut server, Route::V4);
    assert_eq!(flow_of(&attachment, &near).limit_ms, 350_000);
    client.finish_sending(&near);
    let is = |flows: &[Flow], socket: &Socket, state: &str| find(flows.to_vec(), socket).state == state;
    let flows = eventually("the end is acknowledged", SOON, || {
        Some(attachment.flows()).filter(|flows| is(flows, &near, "FIN_WAIT2") && is(flows, &far, "CLOSE_WAIT"))
    });
    (find(flows.clone(), &near), find(flows, &far))
}

#[test]
fn keepalive_for_established_connections_comes_too_late() {
    let scene = Scene::new("half-closed");
    let (near, far) = half_closed(&scene, &[]);
    for flow in [near, far] {
        assert_eq!((flow.status, flow.limit_ms, flow.hop.as_deref()), (Status::Exposed, 60_000, None), "{flow:#?}");
        let expected = "half-closed: dropped after 60s, keepalive leaves up to ";
        assert!(flow.reason.as_ref().is_some_and(|reason| reason.starts_with(expected)), "{flow:#?}");
        assert_eq!(flow.remaining_ms, 60_000 - flow.idle_ms.cast_signed(), "{flow:#?}");
    }
}

#[test]
fn keepalive_that_comes_in_time_protects() {
    let scene = Scene::new("half-served");
    let (near, far) = half_closed(&scene, &["--idle", "20s", "--interval", "5s"]);
    for flow in [near, far] {
        assert_eq!(
            (flow.status, flow.limit_ms, flow.reason.as_deref()),
            (Status::Protected, 60_000, None),
            "{flow:#?}"
        );
    }
}

/// The namespace that injector runs in is the one whose connection tracking counts.
#[test]
fn connection_tracking_of_this_host_says_for_how_long() {
    let scene = Scene::new("half-tracked");
    // Not tracked before any rule asks for it.
    scene.netns.nft("table inet x {\nchain x {\nct state new accept\n}\n}");
    for (state, seconds) in [("close_wait", "7"), ("fin_wait", "9")] {
        scene.netns.sysctl(&format!("net.netfilter.nf_conntrack_tcp_timeout_{state}"), seconds);
    }
    let arguments = ["attach", "--detach", "--cgroup", scene.inside.path_text(), "--hop", "fw=nf-conntrack:350s"];
    let attachment = scene.injector.clean_up_after(&scene.inside);
    scene.injector.run_through(&["nsenter", &format!("--net={}", scene.netns.path())], &arguments).ok();
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    client.finish_sending(&near);
    let flow = flow_of(&attachment, &near);
    assert_eq!((flow.status, flow.limit_ms, flow.hop.as_deref()), (Status::Exposed, 7000, Some("fw")), "{flow:#?}");
    let expected = "half-closed: dropped by fw after 7s, keepalive leaves up to ";
    assert!(flow.reason.as_ref().is_some_and(|reason| reason.starts_with(expected)), "{flow:#?}");
    let overdue = eventually("it is overdue", Duration::from_secs(12), || {
        Some(flow_of(&attachment, &near)).filter(|flow| flow.status == Status::Overdue)
    });
    assert!(overdue.idle() >= Duration::from_secs(7), "{overdue:#?}");
}
