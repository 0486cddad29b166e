//! What an application chose before anything was attached, and what a later policy makes of it.

use injector_tests::{Adoption, Keepalive, Origin, Owner, Peer, Route, Socket, Status, connected};

use crate::scene::{Scene, USUAL, flow_of};

/// What 60 s ask for.
const SHORT: Keepalive = Keepalive::on(41, 5, 9);

/// Names and values of socket options.
type Options<'a> = &'a [(&'a str, u32)];

/// Connects, and then sets these options.
fn connected_with(client: &mut Peer, server: &mut Peer, options: Options<'_>) -> Socket {
    let (near, _far) = connected(client, server, Route::V4);
    for (option, value) in options {
        client.set(&near, option, *value);
    }
    near
}

/// Goes on under the same name with another policy, for established flows too.
fn adopt_again(scene: &Scene, timeout: &str) -> Adoption {
    let arguments =
        ["--cgroup", scene.inside.path_text(), "--timeout", timeout, "--on-conflict", "respect", "-o", "jsonl"];
    Adoption::reported(&scene.injector.run(&[&["attach", "--detach", "--existing"][..], &arguments].concat()).ok())
}

#[test]
fn settings_that_serve_stay_and_others_are_tightened() {
    const ON: (&str, u32) = ("SO_KEEPALIVE", 1);
    let table: [(Options<'_>, &str, Keepalive); 8] = [
        (&[], "injected", USUAL),
        (&[ON, ("TCP_KEEPIDLE", 60)], "respected", Keepalive::on(60, 75, 9)),
        (&[ON, ("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3)], "respected", Keepalive::on(60, 20, 3)),
        (&[ON], "tightened", USUAL),
        (&[ON, ("TCP_KEEPIDLE", 7200)], "tightened", USUAL),
        (&[ON, ("TCP_KEEPIDLE", 7200), ("TCP_KEEPCNT", 3)], "tightened", Keepalive::on(240, 30, 3)),
        (&[("TCP_KEEPIDLE", 60)], "tightened", Keepalive::on(60, 30, 9)),
        (&[ON, ("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 400)], "tightened", Keepalive::on(60, 30, 9)),
    ];
    let scene = Scene::new("choices");
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let sockets = table.map(|(options, ..)| connected_with(&mut client, &mut server, options));
    let mut attachment = scene.attach(&["--existing", "-o", "jsonl"]);
    let adoption = attachment.adoption();
    for ((options, outcome, expected), socket) in table.iter().zip(&sockets) {
        assert_eq!(client.keepalive(socket), *expected, "{options:?}");
        let flow = flow_of(&attachment, socket);
        assert_eq!((flow.outcome.as_str(), flow.origin), (*outcome, Origin::Adopted), "{options:?}");
        let owner = if *outcome == "respected" { Owner::Application } else { Owner::Injected };
        assert_eq!((flow.keepalive.owner, flow.status), (owner, Status::Protected), "{options:?}");
    }
    let counted = ["injected", "respected", "tightened"].map(|outcome| adoption.of_outcome(outcome));
    assert_eq!((counted, adoption.connections()), ([1, 2, 5], 8));
}

#[test]
fn the_user_timeout_is_set_where_there_is_none() {
    let scene = Scene::new("patience");
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let [without, with] =
        [&[][..], &[("TCP_USER_TIMEOUT", 90_000)]].map(|options| connected_with(&mut client, &mut server, options));
    let mut attachment =
        scene.attach(&["--existing", "--idle", "10s", "--interval", "5s", "--user-timeout", "45s", "-o", "jsonl"]);
    attachment.adoption();
    assert_eq!([without, with].map(|socket| client.user_timeout(&socket).as_secs()), [45, 90]);
}

/// A namespace's own defaults are not a choice, and apply where keepalive is merely switched on.
#[test]
fn the_defaults_of_another_namespace() {
    let scene = Scene::new("defaults");
    for (key, value) in [("time", "200"), ("intvl", "60"), ("probes", "5")] {
        scene.netns.sysctl(&format!("net.ipv4.tcp_keepalive_{key}"), value);
    }
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let untouched = connected_with(&mut client, &mut server, &[]);
    let switched_on = connected_with(&mut client, &mut server, &[("SO_KEEPALIVE", 1)]);
    let mut attachment = scene.attach(&["--existing", "-o", "jsonl"]);
    attachment.adoption();
    assert_eq!((client.keepalive(&untouched), flow_of(&attachment, &untouched).outcome.as_str()), (USUAL, "injected"));
    let kept = Keepalive::on(200, 60, 5);
    assert_eq!(
        (client.keepalive(&switched_on), flow_of(&attachment, &switched_on).outcome.as_str()),
        (kept, "respected")
    );
}

#[test]
fn a_later_policy_takes_the_place_of_an_earlier_one() {
    for (first, second, expected) in [("350s", "60s", SHORT), ("60s", "350s", USUAL)] {
        let scene = Scene::new("later");
        let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
        let early = connected_with(&mut client, &mut server, &[]);
        let attachment =
            scene.injector.attach_detached(&scene.inside, &["--timeout", first, "--on-conflict", "respect"]);
        scene.injector.adopt(attachment.name());
        let [seen, changed, off] = [&[][..], &[("TCP_KEEPIDLE", 100)], &[("SO_KEEPALIVE", 0)]]
            .map(|options| connected_with(&mut client, &mut server, options));
        let before = [&changed, &off].map(|socket| client.keepalive(socket));

        let adoption = adopt_again(&scene, second);
        assert_eq!((adoption.of_outcome("injected"), adoption.connections(), adoption.known), (2, 2, 2));
        assert_eq!([&early, &seen].map(|socket| client.keepalive(socket)), [expected; 2]);
        assert_eq!([&changed, &off].map(|socket| client.keepalive(socket)), before);
        for (socket, origin) in [(&early, Origin::Adopted), (&seen, Origin::Established)] {
            let flow = flow_of(&attachment, socket);
            assert_eq!((flow.keepalive.owner, flow.status, flow.origin), (Owner::Injected, Status::Protected, origin));
        }
        assert_eq!(adopt_again(&scene, second).known, 4);
    }
}

/// An application's own keepalive is never loosened, not even by way of a policy that had tightened it.
#[test]
fn a_later_policy_does_not_loosen_the_applications_own() {
    let table: [(Options<'_>, [(&str, Keepalive); 2]); 2] = [
        (&[("TCP_KEEPIDLE", 60)], [("350s", Keepalive::on(60, 30, 9)), ("1800s", Keepalive::on(60, 30, 9))]),
        (
            &[("SO_KEEPALIVE", 1), ("TCP_KEEPIDLE", 7200), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)],
            [("350s", Keepalive::on(240, 10, 3)), ("60s", Keepalive::on(41, 5, 3))],
        ),
    ];
    for (options, steps) in table {
        let scene = Scene::new("not-looser");
        let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
        let near = connected_with(&mut client, &mut server, options);
        let _attachment = scene.injector.attach_detached(&scene.inside, &["--timeout", "6h"]);
        for (timeout, expected) in steps {
            adopt_again(&scene, timeout);
            assert_eq!(client.keepalive(&near), expected, "{options:?} at {timeout}");
        }
    }
}

/// What adoption sets passes our own guard, by the limit of the connection's own hop.
#[test]
fn the_guard_lets_adoption_pass() {
    const HOP: &str = "link=custom:60s@127.0.0.0/8";
    for mode in ["respect", "tighten", "enforce"] {
        let scene = Scene::new("guarded");
        let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
        let early = connected_with(&mut client, &mut server, &[]);
        let arguments = ["--on-conflict", mode, "--hop", HOP, "--existing", "-o", "jsonl"];
        let mut attachment = scene.attach(&arguments);
        assert_eq!((attachment.adoption().of_outcome("injected"), client.keepalive(&early)), (1, SHORT), "{mode}");
        let flow = flow_of(&attachment, &early);
        assert_eq!((flow.status, flow.keepalive.owner), (Status::Protected, Owner::Injected), "{mode}: {flow:#?}");
        assert_eq!(scene.injector.adopt(attachment.name()).known, 1, "{mode}");
    }
}

/// A choice that the application made after it had connected stands where policies respect that, and is no obstacle
/// where they don't.
#[test]
fn adopting_again_repairs() {
    for (mode, expected) in [("respect", Keepalive::on(7200, 30, 9)), ("tighten", USUAL), ("enforce", USUAL)] {
        let scene = Scene::new("repaired");
        let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
        let early = connected_with(&mut client, &mut server, &[]);
        let name = scene.inside.attachment_name();
        let attach = |mode| {
            let cgroup = ["--cgroup", scene.inside.path_text(), "--name", &name];
            scene
                .injector
                .run(&[&["attach", "--detach", "--existing", "--on-conflict", mode][..], &cgroup].concat())
                .ok()
        };
        let attachment = scene.injector.clean_up_after(&scene.inside);
        attach("respect");
        client.set(&early, "TCP_KEEPIDLE", 7200);
        attach(mode);
        assert_eq!(client.keepalive(&early), expected, "{mode}");
        let flow = flow_of(&attachment, &early);
        assert_eq!(flow.status == Status::Protected, mode != "respect", "{mode}: {flow:#?}");
    }
}
