//! How far an attachment knows the connections of its cgroup.

use injector_tests::{Attachment, Coverage, Route, connected};

use crate::hops::limits::{file, path};
use crate::scene::Scene;

fn coverage(established: u64, adopted: u64, uncovered: &[(&str, u64)]) -> Coverage {
    let uncovered = uncovered.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
    Coverage { established, adopted, uncovered, hidden_processes: 0 }
}

/// What `status` prints of one attachment.
fn block(scene: &Scene, attachment: &Attachment) -> String {
    let output = scene.injector.run(&["status"]).ok();
    let head = format!("{}: ", attachment.name());
    let found = output.stdout.split("\n\n").find(|block| block.starts_with(&head)).map(str::to_owned);
    found.unwrap_or_else(|| panic!("no {head}{}", output.stdout))
}

#[test]
fn connections_that_are_older() {
    let scene = Scene::new("older");
    let nested = scene.inside.child("nested");
    let (mut client, mut server) = (scene.peer_in(&nested), scene.inside_peer());
    let _early = Route::ALL.map(|route| connected(&mut client, &mut server, route));
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    assert_eq!(attachment.status().coverage, coverage(0, 0, &[("before_attach", 6)]));
    let missing = format!(
        "missing  6 connections opened before the attachment (`injector adopt --name {}` or `attach --existing` adopts them)",
        attachment.name()
    );
    assert!(block(&scene, &attachment).contains(&missing), "{}", block(&scene, &attachment));

    let _late = connected(&mut client, &mut server, Route::V4);
    assert_eq!(attachment.status().coverage, coverage(2, 0, &[("before_attach", 6)]));

    scene.injector.adopt(attachment.name());
    let status = attachment.status();
    assert_eq!((status.coverage, status.flows["total"]), (coverage(2, 6, &[]), 8));
    let block = block(&scene, &attachment);
    assert!(block.contains("6 of them adopted") && !block.contains("missing"), "{block}");
}

/// The first thing that `attach` shows beside what it attached to.
#[test]
fn attaching_reports_connections_that_are_not_covered() {
    let scene = Scene::new("says");
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let _early = connected(&mut client, &mut server, Route::V4);
    let name = scene.inside.attachment_name();
    let expected = format!(
        "{name}: not covered: 1 connection opened before the attachment (`injector adopt --name {name}` or `attach --existing`"
    );
    let attachment = scene.attach(&[]);
    attachment.says(&expected);
    drop(attachment);
    let arguments = ["attach", "--detach", "--cgroup", scene.inside.path_text()];
    let attachment = scene.injector.clean_up_after(&scene.inside);
    let output = scene.injector.run(&arguments).ok();
    assert!(output.stderr.contains(&expected), "{output:?}");
    scene.injector.adopt(attachment.name());
    let output = scene.injector.run(&arguments).ok();
    assert!(!output.stderr.contains("not covered"), "{output:?}");
}

/// It is no use to adopt what a policy has left alone.
#[test]
fn exempted_connections_are_not_missing() {
    const POLICIES: &str = r#"
        [[policy]]
        remote = "127.0.0.1"
        keepalive = "exempt"

        [[policy]]
        remote = "::1"
        direction = "passive"
        adopt = false
    "#;
    let scene = Scene::new("left-alone");
    let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
    // Of the first both ends are left alone, of the others the accepted one: 127.0.0.2 is called from 127.0.0.1.
    for address in ["127.0.0.1", "::1", "127.0.0.2"] {
        let listener = server.listen_on(address, false);
        client.connect(address, listener.local.port());
        server.accept(&listener);
    }
    let policies = file(POLICIES);
    let attachment = scene.injector.attach_detached(&scene.inside, &["--config", path(&policies)]);
    let _late = connected(&mut client, &mut server, Route::Mapped);
    let before = attachment.status();
    assert_eq!(before.coverage, coverage(0, 0, &[("before_attach", 2)]));
    assert_eq!((before.sockets.active.exempt, before.sockets.passive.exempt), (1, 1));

    scene.injector.adopt(attachment.name());
    assert_eq!(attachment.status().coverage, coverage(0, 2, &[]));
    let block = block(&scene, &attachment);
    assert!(!block.contains("missing"), "{block}");
}

#[test]
fn connections_of_other_namespaces() {
    let scene = Scene::new("elsewhere");
    let other = Scene::new("other");
    let place = injector_tests::Place::cgroup(&scene.inside).on(&other.netns);
    let (mut client, mut server) = (injector_tests::Peer::spawn(place), other.outside_peer());
    let _early = connected(&mut client, &mut server, Route::V6);
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    assert_eq!(attachment.status().coverage, coverage(0, 0, &[("before_attach", 1)]));
    scene.injector.adopt(attachment.name());
    assert_eq!(attachment.status().coverage, coverage(0, 1, &[]));
}

#[test]
fn connections_that_came_from_another_cgroup() {
    let scene = Scene::new("came");
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    let (mut client, mut server) = (scene.outside_peer(), scene.outside_peer());
    let _pair = connected(&mut client, &mut server, Route::V4);
    assert_eq!(attachment.status().coverage, coverage(0, 0, &[]));
    scene.inside.admit(client.pid());
    assert_eq!(attachment.status().coverage, coverage(0, 0, &[("other_cgroup", 1)]));
    let block = block(&scene, &attachment);
    assert!(block.contains("missing  1 connection with a socket or listener of another cgroup"), "{block}");
    scene.injector.adopt(attachment.name());
    assert_eq!(attachment.status().coverage, coverage(0, 1, &[]));
}

#[test]
fn listeners_and_other_sockets_are_not_missing() {
    let scene = Scene::new("others");
    let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
    let _listener = server.listen(Route::V6);
    let _unconnected = client.open("127.0.0.1");
    let (near, far) = connected(&mut client, &mut server, Route::V4);
    server.close(&far);
    client.close(&near);
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    assert_eq!(attachment.status().coverage, coverage(0, 0, &[]));
    assert!(!block(&scene, &attachment).contains("missing"));
}

#[test]
fn processes_that_may_not_be_seen() {
    const NO_PTRACE: [&str; 5] = ["setpriv", "--bounding-set", "-all,+bpf,+net_admin,+perfmon", "--inh-caps", "-all"];
    let scene = Scene::new("hidden");
    let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
    let _early = connected(&mut client, &mut server, Route::V4);
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    let document = scene.injector.run_through(&NO_PTRACE, &["status", "-o", "json"]).ok().json();
    let all = document["attachments"].as_array().expect("a list");
    let ours = all.iter().find(|one| one["name"] == attachment.name()).expect("ours");
    let expected = serde_json::json!({"established": 0, "adopted": 0, "uncovered": {}, "hidden_processes": 2});
    assert_eq!(ours["coverage"], expected);
    let text = scene.injector.run_through(&NO_PTRACE, &["status"]).ok().stdout;
    assert!(text.contains("2 processes can't be inspected (needs CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH)"), "{text}");
}
