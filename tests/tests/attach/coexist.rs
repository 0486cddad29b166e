//! Beside programs of others, and beside ourselves.

use std::thread;

use injector_tests::{Cgroup, ForeignProgram, Keepalive, Route, Signal, connected, pins};

use crate::scene::{Scene, assert_nothing_left};

/// How many programs of each kind a cgroup has: `sock_ops`, and all others.
fn count(cgroup: &Cgroup) -> (usize, usize) {
    let programs = cgroup.programs();
    let ours = programs.iter().filter(|(kind, _)| kind.contains("sock_ops")).count();
    (ours, programs.len() - ours)
}

#[test]
fn nothing_is_on_the_packet_path() {
    let scene = Scene::new("path");
    let mut attachment = scene.attach(&["--on-conflict", "respect"]);
    assert_eq!(count(&scene.inside), (1, 0), "{:?}", scene.inside.programs());
    attachment.stop(Signal::INT).ok();
    // The guard is on a call, not on packets.
    let mut attachment = scene.attach(&[]);
    assert_eq!(count(&scene.inside), (1, 1), "{:?}", scene.inside.programs());
    assert_eq!(scene.inside.program_ids("setsockopt").len(), 1);
    attachment.stop(Signal::INT).ok();
    assert_nothing_left(&scene);
}

#[test]
fn another_program_stays_where_it_was() {
    let scene = Scene::new("foreign");
    let names = || -> Vec<String> {
        let programs = scene.inside.programs().into_iter();
        programs.map(|(_, name)| name).collect()
    };
    let theirs = ForeignProgram::NAME.to_owned();
    let early = ForeignProgram::attach(&scene.inside);
    let mut attachment = scene.attach(&["--on-conflict", "respect"]);
    let late = ForeignProgram::attach(&scene.inside);
    assert_eq!(names().len(), 3);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    assert_eq!(client.keepalive(&near), Keepalive::on(240, 30, 9), "between two others");
    attachment.stop(Signal::INT).ok();
    assert_eq!(names(), [theirs.clone(), theirs.clone()]);
    drop(early);
    assert_eq!(names(), [theirs]);
    drop(late);
    assert_nothing_left(&scene);
}

#[test]
fn two_attachments_work_side_by_side_and_the_stricter_rules() {
    for timeouts in [["4s", "350s"], ["350s", "4s"]] {
        let scene = Scene::new("both");
        let [one, other] = ["one", "other"].map(|which| format!("{}-{which}", scene.inside.attachment_name()));
        let first = scene.attach(&["--name", &one, "--timeout", timeouts[0]]);
        let second = scene.attach(&["--name", &other, "--timeout", timeouts[1]]);
        assert_eq!(count(&scene.inside), (2, 2));
        let (mut client, mut server) = (scene.inside_peer(), scene.inside_peer());
        let (near, far) = connected(&mut client, &mut server, Route::V4);
        assert_eq!(client.keepalive(&near), Keepalive::on(1, 1, 9), "{timeouts:?}");
        assert_eq!(server.keepalive(&far), Keepalive::on(1, 1, 9), "{timeouts:?}");
        for attachment in [&first, &second] {
            assert_eq!(attachment.flows().len(), 2, "each keeps its own records");
        }
        drop(first);
        assert_eq!(count(&scene.inside), (1, 1));
        assert_eq!(second.flows().len(), 2, "not disturbed by the other's end");
        drop(second);
        assert_eq!((pins(&one), pins(&other)), (None, None));
    }
}

#[test]
fn a_child_cgroup_may_have_its_own_attachment() {
    let scene = Scene::new("parent");
    let child = scene.inside.child("child");
    let _outer = scene.attach(&[]);
    let _inner = scene.injector.attach(&child, &["--timeout", "4s"]);
    let mut server = scene.outside_peer();
    for (cgroup, expected) in [(&child, Keepalive::on(1, 1, 9)), (&scene.inside, Keepalive::on(240, 30, 9))] {
        let mut client = scene.peer_in(cgroup);
        let (near, _far) = connected(&mut client, &mut server, Route::V4);
        assert_eq!(client.keepalive(&near), expected);
    }
}

#[test]
fn detach_all_ends_every_attachment_it_can_see() {
    let scene = Scene::new("all");
    let script = "set -e; injector=$1; shift
        for cgroup; do \"$injector\" attach --detach --cgroup \"$cgroup\"; done
        for cgroup; do bpftool cgroup show \"$cgroup\" | grep -q sock_ops; done
        \"$injector\" detach --all
        for cgroup; do if bpftool cgroup show \"$cgroup\" | grep sock_ops; then exit 1; fi; done
        if ls -A /sys/fs/bpf/injector/v1 | grep .; then exit 1; fi
        \"$injector\" detach --all";
    let cgroups = [scene.inside.path_text(), scene.outside.path_text()];
    let arguments = [&["-c", script, "sh", scene.injector.binary()], &cgroups[..]].concat();
    injector_tests::tool("sh", &arguments);
    assert_nothing_left(&scene);
}

/// Lists and reports see others in the middle of attaching and detaching: that is not a failure.
#[test]
fn others_may_come_and_go_meanwhile() {
    let scene = Scene::new("stays");
    let attachment = scene.attach(&[]);
    let (injector, name) = (&scene.injector, attachment.name());
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (_near, _far) = connected(&mut client, &mut server, Route::V4);
    thread::scope(|scope| {
        let others = scope.spawn(|| {
            for _ in 0..15 {
                injector.run(&["attach", "--detach", "--cgroup", scene.outside.path_text()]).ok();
                injector.run(&["detach", "--cgroup", scene.outside.path_text()]).ok();
            }
        });
        while !others.is_finished() {
            assert_eq!(injector.status(name).flows["total"], 1);
            let listed = injector.run(&["flows", "-o", "jsonl"]).ok().json_lines();
            assert!(listed.iter().any(|flow| flow["attachment"] == name), "{listed:#?}");
        }
    });
}

/// Each time the last one goes, so does the directory above.
#[test]
fn many_come_and_go_at_once() {
    let scene = Scene::new("at-once");
    let script = "injector=$1; shift
        come_and_go() {
            for _ in 1 2 3 4 5 6 7 8; do
                \"$injector\" attach --detach --cgroup \"$1\" && \"$injector\" detach --cgroup \"$1\" || return
            done
        }
        for cgroup; do come_and_go \"$cgroup\" & pids=\"$pids $!\"; done
        for pid in $pids; do wait $pid || exit; done
        if ls -A /sys/fs/bpf/injector/v1 | grep .; then exit 1; fi";
    let children = ["a", "b"].map(|name| scene.inside.child(name));
    let cgroups = [scene.outside.path_text(), children[0].path_text(), children[1].path_text()];
    let arguments = [&["-c", script, "sh", scene.injector.binary()], &cgroups[..]].concat();
    injector_tests::tool("sh", &arguments);
}
