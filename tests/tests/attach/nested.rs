//! Attachments to a cgroup and to one above it: the strictest rules apply, whatever the modes.

use injector_tests::{Keepalive, Owner, Route, Status, connected};

use crate::scene::{Scene, flow_of};

/// What 60 s ask for.
const SHORT: Keepalive = Keepalive::on(41, 5, 9);
const MODES: [&str; 3] = ["respect", "tighten", "enforce"];

#[test]
fn the_strictest_rules_apply_whatever_the_modes() {
    for (outer, inner) in MODES.iter().flat_map(|outer| MODES.map(|inner| (*outer, inner))) {
        for timeouts in [["350s", "60s"], ["60s", "350s"]] {
            let case = format!("{outer} {inner} {timeouts:?}");
            let scene = Scene::new("nested");
            let child = scene.inside.child("child");
            let above = scene.attach(&["--timeout", timeouts[0], "--on-conflict", outer]);
            let below = scene.injector.attach(&child, &["--timeout", timeouts[1], "--on-conflict", inner]);
            let (mut client, mut server) = (scene.peer_in(&child), scene.outside_peer());
            let (near, _far) = connected(&mut client, &mut server, Route::V4);
            assert_eq!(client.keepalive(&near), SHORT, "{case}");
            for attachment in [&above, &below] {
                let flow = flow_of(attachment, &near);
                assert_eq!((flow.status, flow.reason), (Status::Protected, None), "{case}");
            }
            let owner = flow_of(&above, &near).keepalive.owner;
            assert_eq!(owner, Owner::Injected, "{case}: nothing of it was the application's");
            client.set(&near, "TCP_KEEPIDLE", 20);
            let idle = client.keepalive(&near).idle;
            assert!((20..=41).contains(&idle), "{case}: {idle}");
        }
    }
}

#[test]
fn the_inner_one_does_not_blame_the_application_for_the_outer() {
    let scene = Scene::new("blame");
    let child = scene.inside.child("child");
    let _above = scene.attach(&["--timeout", "60s"]);
    let below = scene.injector.attach(&child, &[]);
    let (mut client, mut server) = (scene.peer_in(&child), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    let owner = || flow_of(&below, &near).keepalive.owner;
    assert_eq!((client.keepalive(&near), owner()), (SHORT, Owner::Injected));
    client.set(&near, "TCP_KEEPIDLE", 20);
    assert_eq!((client.keepalive(&near).idle, owner()), (20, Owner::Application));
}

#[test]
fn adopting_does_not_loosen_what_another_one_has_set() {
    let scene = Scene::new("adopted");
    let child = scene.inside.child("child");
    let (mut client, mut server) = (scene.peer_in(&child), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    let below = scene.injector.attach(&child, &["--timeout", "60s"]);
    scene.injector.adopt(below.name());
    let above = scene.attach(&["--on-conflict", "enforce"]);
    scene.injector.adopt(above.name());
    assert_eq!(client.keepalive(&near), SHORT);
    assert_eq!(flow_of(&above, &near).keepalive.owner, Owner::Injected);
}
