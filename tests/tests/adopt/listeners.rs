//! Listeners that were open before: what they accept inherits from them. And which way a connection goes.

use injector_tests::{Direction, Keepalive, Origin, Route, Signal};

use crate::scene::{SOON, Scene, USUAL, find};

#[test]
fn what_an_adopted_listener_accepts_is_protected() {
    let scene = Scene::new("listeners");
    let (mut client, mut server) = (scene.outside_peer(), scene.inside_peer());
    let listeners = Route::ALL.map(|route| server.listen(route));
    let mut attachment = scene.attach(&["--existing", "-o", "jsonl"]);
    let adoption = attachment.adoption();
    assert_eq!((adoption.listeners["injected"], adoption.connections()), (3, 0), "{adoption:#?}");
    for (route, listener) in Route::ALL.into_iter().zip(&listeners) {
        assert_eq!(server.keepalive(listener), USUAL);
        client.connect(route.target(), listener.local.port());
        let accepted = server.accept(listener);
        assert_eq!(server.keepalive(&accepted), USUAL, "{route:?}");
        let flow = find(attachment.flows(), &accepted);
        assert_eq!((flow.origin, flow.direction), (Origin::Established, Direction::Passive), "{route:?}");
    }
}

/// What it inherits counts as chosen for its listener: it stays where it serves, and is tightened for a shorter limit.
#[test]
fn what_an_adopted_listener_accepts_serves_its_own_hop() {
    let hops: [(&[&str], Keepalive); 2] =
        [(&[], USUAL), (&["--hop", "link=custom:60s@127.0.0.0/8"], Keepalive::on(41, 5, 9))];
    for (hops, expected) in hops {
        let scene = Scene::new("inherits");
        let (mut client, mut server) = (scene.outside_peer(), scene.inside_peer());
        let listener = server.listen(Route::V4);
        let mut attachment = scene.attach(&[&["--existing", "-o", "jsonl"], hops].concat());
        attachment.adoption();
        client.connect(Route::V4.target(), listener.local.port());
        let accepted = server.accept(&listener);
        assert_eq!(server.keepalive(&accepted), expected, "{hops:?}");
        find(attachment.flows(), &accepted);
    }
}

/// The programs are not asked about what comes by a listener of another cgroup.
#[test]
fn a_listener_of_another_cgroup() {
    let scene = Scene::new("moved");
    let (mut client, mut server) = (scene.outside_peer(), scene.outside_peer());
    let listener = server.listen(Route::V4);
    scene.inside.admit(server.pid());
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    client.connect(Route::V4.target(), listener.local.port());
    let before = server.accept(&listener);
    assert_eq!(server.keepalive(&before), Keepalive::UNTOUCHED);

    let adoption = scene.injector.adopt(attachment.name());
    assert_eq!((adoption.listeners["injected"], adoption.of_outcome("injected")), (1, 1), "{adoption:#?}");
    client.connect(Route::V4.target(), listener.local.port());
    let after = server.accept(&listener);
    assert_eq!([&before, &after].map(|socket| server.keepalive(socket)), [USUAL; 2]);
    assert_eq!(find(attachment.flows(), &before).direction, Direction::Passive);
}

#[test]
fn a_listeners_own_choice_is_respected() {
    let scene = Scene::new("chosen");
    let (mut client, mut server) = (scene.outside_peer(), scene.inside_peer());
    let listener = server.listen(Route::V6);
    server.set_keepalive(&listener, 60);
    let mut attachment = scene.attach(&["--existing", "-o", "jsonl"]);
    assert_eq!(attachment.adoption().listeners["respected"], 1);
    client.connect(Route::V6.target(), listener.local.port());
    let accepted = server.accept(&listener);
    assert_eq!(server.keepalive(&accepted), Keepalive::on(60, 60, 9));
}

/// What a listener hands on ends with the attachment, unless its application chose it meanwhile.
#[test]
fn detaching_resets_listeners() {
    for (is_watched, mode) in [(false, "respect"), (true, "tighten"), (false, "enforce")] {
        let scene = Scene::new("given-back");
        let (mut client, mut server) = (scene.outside_peer(), scene.inside_peer());
        let [plain, chosen, changed] = Route::ALL.map(|route| server.listen(route));
        server.set_keepalive(&chosen, 7200);
        let arguments = ["--existing", "--on-conflict", mode, "-o", "jsonl"];
        let mut attachment = if is_watched {
            scene.attach(&arguments)
        } else {
            scene.injector.attach_detached(&scene.inside, &arguments)
        };
        if is_watched {
            assert_eq!(attachment.adoption().listeners.values().sum::<u64>(), 3);
        }
        assert_eq!([&plain, &chosen, &changed].map(|listener| server.keepalive(listener)), [USUAL; 3], "{mode}");
        server.set(&changed, "TCP_KEEPIDLE", 100);
        if is_watched {
            attachment.stop(Signal::TERM).ok();
        } else {
            let output = scene.injector.run(&["detach", "--name", attachment.name()]).ok();
            assert_eq!(output.stderr, "");
        }
        let expected = [Keepalive::UNTOUCHED, Keepalive::on(7200, 7200, 9), Keepalive::on(100, 30, 9)];
        for ((listener, route), expected) in [&plain, &chosen, &changed].into_iter().zip(Route::ALL).zip(expected) {
            client.connect(route.target(), listener.local.port());
            let accepted = server.accept(listener);
            assert_eq!(server.keepalive(&accepted), expected, "{mode} {route:?}");
        }
    }
}

#[test]
fn listeners_that_can_not_be_reset_are_named() {
    const NO_PTRACE: [&str; 5] = ["setpriv", "--bounding-set", "-all,+bpf,+net_admin,+perfmon", "--inh-caps", "-all"];
    let scene = Scene::new("not-given-back");
    let mut server = scene.inside_peer();
    let listener = server.listen(Route::V4);
    let attachment = scene.injector.attach_detached(&scene.inside, &["--existing"]);
    assert_eq!(attachment.flows().len(), 0, "it is no flow");
    let output = scene.injector.run_through(&NO_PTRACE, &["detach", "--name", attachment.name()]).ok();
    assert!(output.stderr.contains("1 adopted listener"), "{output:?}");
    assert_eq!(server.keepalive(&listener), USUAL);
}

#[test]
fn ends_and_directions_are_found_from_outside() {
    let scene = Scene::new("ends");
    let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
    let pairs = Route::ALL.map(|route| {
        let listener = server.listen(route);
        let near = client.connect(route.target(), listener.local.port());
        (near, server.accept(&listener))
    });
    let mut attachment = scene.attach(&["--existing", "-o", "jsonl"]);
    assert_eq!(attachment.adoption().of_outcome("injected"), 6);
    for (near, far) in &pairs {
        let flows = attachment.flows();
        let (active, passive) = (find(flows.clone(), near), find(flows, far));
        assert_eq!((active.direction, passive.direction), (Direction::Active, Direction::Passive));
        let plain = |address: std::net::SocketAddr| (address.ip().to_canonical(), address.port());
        assert_eq!((plain(active.local), plain(active.peer)), (plain(near.local), plain(far.local)));
        assert_eq!((plain(passive.local), plain(passive.peer)), (plain(far.local), plain(near.local)));
        assert_eq!(active.process.map(|process| process.pid), Some(client.pid()));
        assert_eq!((active.inode, passive.inode), (near.inode, far.inode));
        assert_eq!((active.cgroup_id, active.netns), (scene.inside.id(), scene.netns.inode()));
    }
}

#[test]
fn closed_ones_are_gone() {
    let scene = Scene::new("gone");
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, far) = injector_tests::connected(&mut client, &mut server, Route::V4);
    let mut attachment = scene.attach(&["--existing", "-o", "jsonl"]);
    attachment.adoption();
    assert_eq!(attachment.flows().len(), 1);
    server.close(&far);
    client.close(&near);
    injector_tests::eventually("the flow is gone", SOON, || attachment.flows().is_empty().then_some(()));
    assert_eq!(attachment.status().coverage.adopted, 0);
}
