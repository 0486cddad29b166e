//! Flows within this host, on whose path no hop is.

use std::time::Duration;

use injector_tests::{Flow, Route, Status, connected, eventually};

use crate::scene::{SOON, Scene, USUAL, flow_of};

/// Longer than the shortest limit there is.
const BEYOND: Duration = Duration::from_millis(2500);

#[track_caller]
fn assert_local(flow: &Flow) {
    assert_eq!((flow.status, flow.limit_ms, flow.remaining_ms), (Status::Local, 0, 0), "{flow:#?}");
    assert_eq!((flow.hop.as_deref(), flow.reason.as_deref()), (None, None), "{flow:#?}");
}

#[test]
fn they_have_keepalive_and_no_limit() {
    let scene = Scene::new("local");
    let injector = scene.injector.without_loopback();
    let mut attachment = injector.attach(&scene.inside, &["-o", "jsonl", "--timeout", "2s", "--warn", "50%"]);
    let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
    let sockets = Route::ALL.map(|route| connected(&mut client, &mut server, route).0);
    client.set(&sockets[0], "SO_KEEPALIVE", 0);
    for socket in &sockets[1..] {
        assert_eq!(client.keepalive(socket).enabled, 1);
    }
    std::thread::sleep(BEYOND);
    for socket in &sockets {
        assert_local(&flow_of(&attachment, socket));
    }
    let status = attachment.status();
    assert_eq!((status.flows["local"], status.flows["total"]), (6, 6), "{status:#?}");
    assert_eq!(status.idle_histogram.iter().map(|bucket| bucket.count).sum::<u64>(), 0, "{status:#?}");
    let fails = injector.run(&["flows", "--name", attachment.name(), "--at-risk", "--fail"]).ok();
    assert_eq!(fails.stdout.lines().count(), 1, "the head alone: {}", fails.stdout);
    let table = injector.run(&["flows", "--name", attachment.name()]).ok().stdout;
    assert!(table.lines().skip(1).all(|line| line.split_whitespace().nth(1) == Some("-")), "{table}");
    assert_eq!(attachment.event(Duration::from_millis(100)), None, "nothing is reported");
}

/// An address of its own, which the kernel's local table leads to loopback as well.
#[test]
fn an_address_of_this_host_is_local() {
    let scene = Scene::new("own-address");
    scene.netns.address("lo", &["10.9.9.9/32"]);
    let injector = scene.injector.without_loopback();
    let attachment = injector.attach(&scene.inside, &["--hop", "all=eni:60s"]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let listener = server.listen_on("10.9.9.9", false);
    let near = client.connect("10.9.9.9", listener.local.port());
    assert_local(&flow_of(&attachment, &near));
    assert_eq!(client.keepalive(&near), USUAL, "as where no hop is known");
}

#[test]
fn a_hop_that_names_loopback_addresses_counts() {
    let scene = Scene::new("named-loopback");
    let injector = scene.injector.without_loopback();
    let hops = ["--hop", "all=eni:60s", "--hop", "proxy=custom:120s@127.0.0.0/8"];
    let attachment = injector.attach(&scene.inside, &hops);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (named, _far) = connected(&mut client, &mut server, Route::V4);
    let (other, _far) = connected(&mut client, &mut server, Route::V6);
    let flow = flow_of(&attachment, &named);
    assert_eq!(
        (flow.status, flow.hop.as_deref(), flow.limit_ms),
        (Status::Protected, Some("proxy"), 120_000),
        "{flow:#?}"
    );
    assert_local(&flow_of(&attachment, &other));
}

#[test]
fn loopback_counts_where_that_is_asked_for() {
    let scene = Scene::new("loopback");
    let injector = scene.injector.without_loopback();
    let attach = |arguments: &[&str]| {
        let cgroup = scene.inside.path_text();
        injector.run(&[&["attach", "--detach", "--cgroup", cgroup, "--timeout", "60s"], arguments].concat()).ok();
    };
    let attachment = injector.clean_up_after(&scene.inside);
    attach(&[]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    assert_local(&flow_of(&attachment, &near));
    let config = crate::hops::limits::file("loopback = true\n");
    for arguments in [&["--loopback"][..], &["--config", crate::hops::limits::path(&config)]] {
        attach(arguments);
        let flow = flow_of(&attachment, &near);
        assert_eq!((flow.status, flow.limit_ms), (Status::Protected, 60_000), "{flow:#?}");
        attach(&[]);
        assert_local(&flow_of(&attachment, &near));
    }
}

/// What was at risk by the limits before is not reported as recovered or closed.
#[test]
fn the_agent_counts_them_apart() {
    let scene = Scene::new("local-agent");
    let configuration =
        |more: &str| format!("cgroups = [\"{{cgroup}}\"]\ntimeout = \"2s\"\non_conflict = \"respect\"\n{more}");
    let agent = injector_tests::Agent::start(&scene.injector, &scene.inside, &configuration("loopback = true"));
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    client.set(&near, "SO_KEEPALIVE", 0);
    eventually("it is overdue", SOON, || agent.log().contains("event=\"overdue\"").then_some(()));
    agent.configure(&configuration("loopback = false"));
    agent.shows("flows{status=\"local\"}", 1.0);
    agent.shows("flows{status=\"overdue\"}", 0.0);
    assert_eq!(agent.metric("flows_lost_total"), Some(0.0));
    assert!(!agent.log().contains("event=\"recovered\""), "{}", agent.log());
}
