//! Hosts that have cgroup v2 mounted more than once, as Cilium and bpftune leave them: no path means anything else there.
//! All mounts are made in a mount namespace that ends with its last process.

use std::path::Path;

use injector_tests::{Agent, Cgroup, Peer, Place, Route, Signal, cgroup_mount, connected, eventually, tool};

use crate::scene::{SOON, Scene};

/// Mounts all of cgroup v2 at `$0` for the program that follows.
const SECOND: &str = r#"mount -t cgroup2 none "$0" && exec "$@""#;
/// Shows the directory `$1` at `$0` to the program that follows.
const PART: &str = r#"mount --bind "$1" "$0" && shift && exec "$@""#;

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

/// Which cgroup `attach` says it has attached to.
#[track_caller]
fn attached_to(scene: &Scene, wrapper: &[&str], path: &str) -> String {
    let _cleanup = scene.injector.clean_up_after(&scene.inside);
    let output = scene.injector.run_through(wrapper, &["attach", "--cgroup", path, "--for", "100ms"]).ok();
    let first = output.stdout.lines().next().unwrap_or_default().to_owned();
    let (_, rest) = first.split_once(" to cgroup ").unwrap_or_else(|| panic!("{output:?}"));
    rest.split(':').next().unwrap_or_default().to_owned()
}

#[test]
fn every_way_to_write_a_path_means_the_same_cgroup() {
    let (scene, second) = (Scene::new("mounts"), tempfile::tempdir().expect("room"));
    let wrapper = ["unshare", "--mount", "sh", "-c", SECOND, text(second.path())];
    let path = scene.inside.kernel_path();
    let there = format!("{}{path}", second.path().display());
    for written in [scene.inside.path_text(), &path, &path[1..], &there] {
        assert_eq!(attached_to(&scene, &wrapper, written), path, "{written}");
    }
}

#[test]
fn existing_attachments_are_found_by_either_mount() {
    let (scene, second) = (Scene::new("mounts-old"), tempfile::tempdir().expect("room"));
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let _early = connected(&mut client, &mut server, Route::V4);
    let wrapper = ["unshare", "--mount", "sh", "-c", SECOND, text(second.path())];
    let attachment = scene.injector.clean_up_after(&scene.inside);
    for mount in [&cgroup_mount(), second.path()] {
        let path = format!("{}{}", mount.display(), scene.inside.kernel_path());
        let attach = ["attach", "--detach", "--existing", "--cgroup", &path];
        let output = scene.injector.run_through(&wrapper, &attach).ok();
        assert!(
            output.stdout.contains("1 connections (1 injected)") || output.stdout.contains("1 known"),
            "{output:?}"
        );
    }
    assert_eq!(attachment.status().coverage.adopted, 1);
}

#[test]
fn a_mount_of_a_part_shows_cgroups_by_other_names() {
    let (scene, part) = (Scene::new("mounts-part"), tempfile::tempdir().expect("room"));
    let nested = scene.inside.child("nested");
    let wrapper = ["unshare", "--mount", "sh", "-c", PART, text(part.path()), scene.inside.path_text()];
    let table = [("", scene.inside.kernel_path()), ("/nested", nested.kernel_path())];
    for (below, expected) in table {
        let written = format!("{}{below}", part.path().display());
        let _cleanup = scene.injector.clean_up_after(&nested);
        assert_eq!(attached_to(&scene, &wrapper, &written), expected);
    }
}

/// As in a container that has the host's mount besides its own.
#[test]
fn a_mount_of_a_cgroup_namespace_shows_cgroups_by_other_names() {
    let (scene, own) = (Scene::new("mounts-own"), tempfile::tempdir().expect("room"));
    let nested = scene.inside.child("nested");
    let join = r#"echo $$ > "$0/cgroup.procs" && exec "$@""#;
    let join = ["sh", "-c", join, scene.inside.path_text()];
    let wrapper = [&join[..], &["unshare", "--cgroup", "--mount", "sh", "-c", SECOND, text(own.path())]].concat();
    let written = format!("{}/nested", own.path().display());
    let _cleanup = scene.injector.clean_up_after(&nested);
    assert_eq!(attached_to(&scene, &wrapper, &written), nested.kernel_path());
}

/// As on a hybrid host of which a container runtime has made one with cgroup v2 alone.
#[test]
fn a_mount_that_lies_under_another_does_not_count() {
    const HIDE: &str = r#"mount --bind "$0" "$1" && mount -t tmpfs none "$0" && shift && exec "$@""#;
    let (scene, over) = (Scene::new("mounts-hidden"), tempfile::tempdir().expect("room"));
    let hidden = cgroup_mount();
    let wrapper = ["unshare", "--mount", "sh", "-c", HIDE, text(&hidden), text(over.path())];
    let path = scene.inside.kernel_path();
    let there = format!("{}{path}", over.path().display());
    for written in [&path, &there] {
        assert_eq!(attached_to(&scene, &wrapper, written), path, "{written}");
    }
}

#[test]
fn an_agent_does_not_mind_mounts_that_come_and_go() {
    let (scene, second) = (Scene::new("mounts-agent"), tempfile::tempdir().expect("room"));
    let first = scene.inside.child("service-a");
    let full = "cgroups = [\"{cgroup}/service-*\"]\ntimeout = \"60s\"";
    let agent = Agent::start_through(&scene.injector, &["unshare", "--mount"], &scene.inside, full);
    let program = first.only_program("sock_ops");
    let (mut client, mut server) = (Peer::spawn(Place::cgroup(&first).on(&scene.netns)), scene.outside_peer());
    let _pair = connected(&mut client, &mut server, Route::V4);

    let namespace = format!("--mount=/proc/{}/ns/mnt", agent.pid());
    tool("nsenter", &[&namespace, "mount", "-t", "cgroup2", "none", text(second.path())]);
    let mut reloads = 1.0;
    let mut reload = |agent: &Agent| {
        agent.signal(Signal::HUP);
        reloads += 1.0;
        agent.shows("config_reloads_total{result=\"success\"}", reloads);
    };
    reload(&agent);
    let new = |name: &str| -> Cgroup {
        let new = scene.inside.child(name);
        eventually("it is attached", SOON, || (new.program_ids("sock_ops").len() == 1).then_some(()));
        new
    };
    let _by_first = new("service-b");
    // The second one is all there is from here on.
    tool("nsenter", &[&namespace, "umount", "--lazy", text(&cgroup_mount())]);
    let _by_second = new("service-c");
    agent.configure(&full.replace("{cgroup}", &scene.inside.kernel_path()).replace("60s", "70s"));
    agent.shows("config_reloads_total{result=\"success\"}", 3.0);

    agent.shows("attached_cgroups", 3.0);
    let ready = agent.get("/readyz");
    assert_eq!(ready.code, 200, "{ready:?}");
    assert!(!agent.log().contains("detached"), "{}", agent.log());
    let name = scene.injector.attachment_to(&first);
    assert_eq!(scene.injector.flows(&name).len(), 1, "records are kept");
    assert_ne!(first.only_program("sock_ops"), program, "70 s are applied");
}
