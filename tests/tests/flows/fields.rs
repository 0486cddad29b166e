//! What `flows` lists.

use std::fs;

use injector_tests::{Attachment, Direction, Flow, FlowProcess, Owner, Peer, Route, Socket, Status, connected};

use crate::scene::{SOON, Scene, find, flow_of};

pub(crate) fn process_of(peer: &Peer) -> FlowProcess {
    let comm = fs::read_to_string(format!("/proc/{}/comm", peer.pid())).expect("the peer runs");
    FlowProcess { pid: peer.pid(), name: comm.trim_end().to_owned() }
}

fn assert_identifies(flow: &Flow, near: &Socket, far: &Socket, peer: &Peer) {
    let plain = |socket: &Socket| (socket.local.ip().to_canonical(), socket.local.port());
    assert_eq!((flow.local.ip(), flow.local.port()), plain(near));
    assert_eq!((flow.peer.ip(), flow.peer.port()), plain(far));
    assert_eq!(flow.inode, near.inode);
    assert_eq!(flow.process.as_ref(), Some(&process_of(peer)), "{flow:#?}");
}

#[test]
fn a_flow_says_whose_it_is_and_how_it_stands() {
    let scene = Scene::new("whose");
    let nested = scene.inside.child("nested");
    let attachment = scene.attach(&[]);
    let (mut client, mut server) = (scene.peer_in(&nested), scene.inside_peer());
    for route in Route::ALL {
        let (near, far) = connected(&mut client, &mut server, route);
        let flows = attachment.flows();
        let (active, passive) = (find(flows.clone(), &near), find(flows, &far));
        assert_identifies(&active, &near, &far, &client);
        assert_identifies(&passive, &far, &near, &server);
        assert_eq!((active.direction, passive.direction), (Direction::Active, Direction::Passive));
        assert_eq!((active.cgroup, active.cgroup_id), (Some(nested.kernel_path()), nested.id()));
        assert_eq!((&passive.cgroup, passive.cgroup_id), (&Some(scene.inside.kernel_path()), scene.inside.id()));
        assert_healthy(&passive, &attachment, &scene);
    }
}

fn assert_healthy(flow: &Flow, attachment: &Attachment, scene: &Scene) {
    assert_eq!(flow.attachment, attachment.name());
    assert_eq!((flow.status, flow.state.as_str()), (Status::Protected, "ESTABLISHED"));
    assert_eq!((flow.outcome.as_str(), flow.limit_ms), ("injected", 350_000));
    assert_eq!((flow.netns, flow.uid), (scene.netns.inode(), 0));
    let keepalive = &flow.keepalive;
    assert_eq!((keepalive.enabled, keepalive.owner), (true, Owner::Injected));
    assert_eq!((keepalive.idle_s, keepalive.interval_s, keepalive.probes), (240, 30, 9));
    assert_eq!((keepalive.user_timeout_ms, keepalive.unanswered_probes), (0, 0));
    assert!(flow.age_ms < 60_000 && flow.idle_ms <= flow.age_ms + 100, "{flow:#?}");
}

#[test]
fn closed_connections_are_not_listed() {
    let scene = Scene::new("closed");
    let attachment = scene.attach(&[]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, far) = connected(&mut client, &mut server, Route::V4);
    assert_eq!(attachment.flows().len(), 1);
    server.close(&far);
    client.close(&near);
    injector_tests::eventually("the flow is gone", SOON, || attachment.flows().is_empty().then_some(()));
}

/// Turns keepalive off on a connected socket: from now on its flow only ages.
fn expose(client: &mut Peer, socket: &Socket) {
    client.set(socket, "SO_KEEPALIVE", 0);
}

#[test]
fn an_unprotected_flow_is_at_risk_and_then_overdue() {
    let scene = Scene::new("ages");
    let attachment = scene.attach(&[
        "--timeout",
        "24s",
        "--warn",
        "12s",
        "--idle",
        "1s",
        "--interval",
        "1s",
        "--on-conflict",
        "respect",
    ]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    let (kept, _far) = connected(&mut client, &mut server, Route::V4);
    expose(&mut client, &near);
    let becomes = |status: Status| {
        injector_tests::eventually("the status follows the idle time", SOON, || {
            Some(flow_of(&attachment, &near)).filter(|flow| flow.status == status)
        })
    };
    let at_risk = |more: &[&str]| {
        let command = [&["flows", "--name", attachment.name(), "--at-risk", "-o", "jsonl"], more].concat();
        let output = scene.injector.run(&command);
        (output.code, output.json_lines())
    };
    assert_eq!(flow_of(&attachment, &near).status, Status::Exposed);
    assert_eq!(at_risk(&["--fail"]), (0, vec![]));

    becomes(Status::AtRisk);
    let (code, listed) = at_risk(&["--fail"]);
    assert_eq!((code, listed.len()), (5, 1), "{listed:#?}");
    assert_eq!(listed[0]["cookie"], near.cookie);
    assert!(listed[0]["reason"].is_string(), "{listed:#?}");
    assert_eq!(at_risk(&[]).0, 0, "a finding is no failure unless asked for");
    assert_eq!(at_risk(&["--fail", "--limit", "0"]), (5, vec![]), "a finding that is not listed counts too");

    let flow = becomes(Status::Overdue);
    assert!(flow.remaining_ms <= 0, "{flow:#?}");
    assert_eq!(at_risk(&["--fail"]).0, 5);
    assert_eq!(flow_of(&attachment, &kept).status, Status::Protected);

    client.send(&near, "awake").unwrap();
    assert_eq!(flow_of(&attachment, &near).status, Status::Exposed);
    assert_eq!(at_risk(&["--fail"]), (0, vec![]));
}
