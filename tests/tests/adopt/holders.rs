//! Connections that `/proc/PID/fd` of their process does not show, or not all of them.

use std::time::Duration;

use injector_tests::{Adoption, Attachment, Cgroup, Place, Process};

use crate::scene::Scene;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/holders.py");
const UP: Duration = Duration::from_secs(20);
/// Both ends of a connection with the usual keepalive.
const ADOPTED: &str = "1 240 1 240";

/// Holds a pair of connections in one of the script's ways, inside.
fn hold(scene: &Scene, arguments: &[&str]) -> Process {
    hold_in(scene, &scene.inside, arguments)
}

fn hold_in(scene: &Scene, cgroup: &Cgroup, arguments: &[&str]) -> Process {
    let place = Place::cgroup(cgroup).on(&scene.netns);
    let mut process = Process::spawn(place, "/usr/bin/python3", &[&[SCRIPT], arguments].concat());
    assert_eq!(process.expect_line(UP), "up");
    process
}

fn options(process: &mut Process) -> String {
    process.send_line("report");
    process.expect_line(UP)
}

/// What adoption finds, and what is still not covered then.
fn adopted(scene: &Scene, cgroup: &Cgroup) -> (Attachment, Adoption, Vec<(String, u64)>) {
    let attachment = scene.injector.attach_detached(cgroup, &[]);
    let before = attachment.status().coverage;
    let adoption = scene.injector.adopt(attachment.name());
    let after = attachment.status().coverage;
    assert_eq!(before.uncovered.values().sum::<u64>(), after.adopted + after.uncovered.values().sum::<u64>());
    (attachment, adoption, after.uncovered.into_iter().collect())
}

#[test]
fn the_main_thread_has_ended() {
    let scene = Scene::new("main-ended");
    let mut process = hold(&scene, &["main-thread-ended"]);
    let (_attachment, adoption, uncovered) = adopted(&scene, &scene.inside);
    assert_eq!((adoption.of_outcome("injected"), adoption.denied, uncovered), (2, vec![], vec![]));
    assert_eq!(options(&mut process), ADOPTED);
}

#[test]
fn a_thread_has_a_table_of_its_own() {
    let scene = Scene::new("own-table");
    let mut process = hold(&scene, &["table-of-its-own"]);
    let (_attachment, adoption, uncovered) = adopted(&scene, &scene.inside);
    assert_eq!((adoption.of_outcome("injected"), adoption.denied, uncovered), (2, vec![], vec![]));
    assert_eq!(options(&mut process), ADOPTED);
}

/// What no process has a descriptor of can't be adopted, and is reported.
#[test]
fn registered_with_io_uring() {
    let scene = Scene::new("io-uring");
    let mut process = hold(&scene, &["io-uring"]);
    let (_attachment, adoption, uncovered) = adopted(&scene, &scene.inside);
    assert_eq!((adoption.of_outcome("injected"), uncovered), (1, vec![("no_descriptor".to_owned(), 1)]));
    assert_eq!(options(&mut process), "1 240");
    let output = scene.injector.run(&["adopt", "--name", &scene.inside.attachment_name()]).ok();
    assert!(output.stderr.contains("1 connection that no process shows a descriptor of (io_uring"), "{output:?}");
}

/// Of a process with threads in several cgroups, what the threads inside made.
#[test]
fn a_threaded_cgroup() {
    let scene = Scene::new("threaded");
    let threaded = scene.inside.child("threaded");
    let mut process = hold(&scene, &["threaded", threaded.path_text()]);
    let (_attachment, adoption, uncovered) = adopted(&scene, &threaded);
    assert_eq!((adoption.processes, adoption.ended, adoption.of_outcome("injected")), (1, 0, 2), "{adoption:#?}");
    assert_eq!(uncovered, []);
    assert_eq!(options(&mut process), format!("{ADOPTED} 0 7200 0 7200"));
}

/// The socket belongs to the cgroup that it was made in, wherever its process went.
#[test]
fn the_process_was_moved_out() {
    let scene = Scene::new("moved-out");
    let mut process = hold(&scene, &["plain"]);
    scene.outside.admit(process.pid());
    let (_attachment, adoption, uncovered) = adopted(&scene, &scene.inside);
    assert_eq!((adoption.processes, adoption.of_outcome("injected"), uncovered), (1, 2, vec![]));
    assert_eq!(options(&mut process), ADOPTED);
}

/// Keepalive is set through the application's own socket; the connection beneath can't be given a record.
#[test]
fn multipath_tcp() {
    let scene = Scene::new("multipath");
    let mut process = hold(&scene, &["mptcp"]);
    let (_attachment, adoption, uncovered) = adopted(&scene, &scene.inside);
    assert_eq!(uncovered, [("mptcp".to_owned(), 2)]);
    assert_eq!((adoption.connections(), adoption.mptcp.values().sum::<u64>()), (0, 2));
    if adoption.mptcp.contains_key("injected") {
        assert_eq!(options(&mut process), ADOPTED);
    }
    let output = scene.injector.run(&["flows", "--name", &scene.inside.attachment_name()]).ok();
    assert!(output.stderr.contains("2 MPTCP connections") && !output.stderr.contains("injector adopt"), "{output:?}");
}

#[test]
fn a_cgroup_whose_name_is_no_text() {
    let scene = Scene::new("no-text");
    let mut process = hold(&scene, &["enter", scene.inside.path_text()]);
    let name = scene.inside.attachment_name();
    let path = format!("exec \"$@\" --cgroup \"$(printf '{}/caf\\351.service')\"", scene.inside.path_text());
    let arguments = ["attach", "--detach", "--existing", "--name", &name, "-o", "jsonl"];
    let output = scene.injector.run_through(&["sh", "-c", &path, "sh"], &arguments).ok();
    let attachment = scene.injector.clean_up_after(&scene.inside);
    assert_eq!(Adoption::reported(&output).of_outcome("injected"), 2, "{output:?}");
    assert_eq!(attachment.status().coverage.adopted, 2);
    assert_eq!(options(&mut process), ADOPTED);
}
