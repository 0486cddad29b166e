//! Pins that another process removes while the attachment is active.

use std::fs;
use std::path::Path;

use injector_tests::{
    Attachment, Keepalive, Listing, Objects, Route, Signal, connected, eventually, tool, unique_name, until_it_waits,
    until_it_waits_no_more,
};

use crate::attach::errors::FAILURE;
use crate::scene::{SOON, Scene, USUAL, assert_nothing_left, flow_of};

/// Ends the watch and looks for what is left.
fn assert_ends(scene: &Scene, mut attachment: Attachment, objects: &Objects) {
    attachment.stop(Signal::TERM).ok();
    assert_nothing_left(scene);
    objects.wait_until_freed();
}

/// Removes some of the pins of a watch; it goes on as before, and others find it again.
fn assert_survives(remove: impl Fn(&Attachment)) {
    let scene = Scene::new("pins");
    let attachment = scene.attach(&["--on-conflict", "tighten"]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    let before = (scene.inside.programs(), scene.inside.program_ids("sock_ops"), Objects::pinned(attachment.name()));
    remove(&attachment);
    assert_eq!(scene.keepalive_inside().0, USUAL);
    attachment.says("pinned again");
    let after = (scene.inside.programs(), scene.inside.program_ids("sock_ops"), Objects::pinned(attachment.name()));
    assert_eq!(after, before, "the same, of all that there was");
    assert_eq!(attachment.status().state, "attached");
    flow_of(&attachment, &near);
    let again = scene.injector.run(&["attach", "--cgroup", scene.inside.path_text()]);
    assert!(again.stderr.contains("already attached"), "it is watched: {again:?}");
    assert_ends(&scene, attachment, &after.2);
}

#[test]
fn all_pins_are_removed() {
    // The watch may have made new ones before all of the old ones are gone.
    assert_survives(|attachment| drop(fs::remove_dir_all(attachment.directory())));
}

#[test]
fn all_pins_are_moved() {
    let elsewhere = Path::new("/sys/fs/bpf").join(unique_name("elsewhere"));
    assert_survives(|attachment| {
        fs::rename(attachment.directory(), &elsewhere).unwrap();
        fs::remove_dir_all(&elsewhere).unwrap();
    });
}

#[test]
fn the_pin_of_the_link_is_removed() {
    assert_survives(|attachment| fs::remove_file(attachment.directory().join("keepalive")).unwrap());
}

#[test]
fn the_pins_of_the_generation_are_removed() {
    // As above.
    assert_survives(|attachment| drop(fs::remove_dir_all(&attachment.generations()[0])));
}

#[test]
fn the_pin_of_a_map_is_removed() {
    assert_survives(|attachment| fs::remove_file(attachment.directory().join("FLOWS")).unwrap());
}

#[test]
fn the_pin_of_the_guard_is_removed() {
    assert_survives(|attachment| fs::remove_file(attachment.directory().join("guard")).unwrap());
}

/// Removing pins races with the watch that restores them.
#[test]
fn pins_are_removed_again_and_again() {
    let scene = Scene::new("again-and-again");
    let attachment = scene.attach(&[]);
    let objects = Objects::pinned(attachment.name());
    for _ in 0..50 {
        let _ = fs::remove_dir_all(attachment.directory());
        assert_eq!(scene.inside.program_ids("sock_ops").len(), 1);
    }
    eventually("it is pinned again", SOON, || (scene.injector.states(attachment.name()) == ["attached"]).then_some(()));
    assert_eq!(Objects::pinned(attachment.name()), objects);
    assert_ends(&scene, attachment, &objects);
}

/// While the watch waits for the lock another one takes the name, which then has pins of its own.
#[test]
fn a_name_that_was_taken_meanwhile_stays_taken() {
    let scene = Scene::new("taken-meanwhile");
    let mut first = scene.attach(&[]);
    let listing = Listing::begin();
    let attach = ["attach", "--detach", "--timeout", "60s", "--cgroup", scene.inside.path_text()];
    let mut second = scene.injector.spawn(&attach);
    until_it_waits(second.pid());
    fs::remove_dir_all(first.directory()).unwrap();
    until_it_waits(first.pid());
    first.signal(Signal::STOP);
    until_it_waits_no_more(first.pid());
    drop(listing);
    assert!(second.wait(SOON).success(), "{}", second.stderr());
    first.signal(Signal::CONT);
    let output = first.end().ok();
    assert!(output.stderr.contains("another attachment took its name"), "{output:?}");
    let status = scene.injector.status(&scene.inside.attachment_name());
    assert_eq!((status.state.as_str(), status.limit_ms), ("attached", 60_000));
    assert_eq!(scene.keepalive_inside().0, Keepalive::on(41, 5, 9));
}

/// Other attachments don't matter.
#[test]
fn damaged_pins_do_not_hide_other_attachments() {
    for damage in ["rm -r /sys/fs/bpf/injector/v1/damaged/[0-9]*", "rm /sys/fs/bpf/injector/v1/damaged/*/SCAN_CONTROL"]
    {
        let scene = Scene::new("damaged");
        let run = |arguments: &[&str]| scene.injector.run(arguments);
        let (inside, outside) = (scene.inside.path_text(), scene.outside.path_text());
        run(&["attach", "--detach", "--cgroup", outside, "--name", "damaged"]).ok();
        run(&["attach", "--detach", "--cgroup", inside, "--name", "whole"]).ok();
        let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
        let (near, _far) = connected(&mut client, &mut server, Route::V4);
        tool("sh", &["-c", damage]);

        let states: Vec<_> = run(&["status", "-o", "json"]).ok().json()["attachments"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|attachment| (attachment["name"].clone(), attachment["state"].clone()))
            .collect();
        assert_eq!(states, [("damaged".into(), "damaged".into()), ("whole".into(), "attached".into())]);
        let text = run(&["status"]).ok().stdout;
        assert!(text.contains("damaged: attached, but damaged: opening "), "{text}");
        for (arguments, code, flows) in [
            (&["flows", "-o", "jsonl"][..], FAILURE, 1),
            (&["flows", "-o", "jsonl", "--at-risk", "--fail"], FAILURE, 0),
            (&["flows", "-o", "jsonl", "--cgroup", inside], 0, 1),
            (&["flows", "-o", "jsonl", "--cgroup", outside], FAILURE, 0),
            (&["flows", "-o", "jsonl", "--name", "damaged"], FAILURE, 0),
        ] {
            let output = run(arguments);
            assert_eq!((output.code, output.stdout.lines().count()), (code, flows), "{arguments:?}: {output:?}");
            assert!(!output.stderr.contains("nothing is attached"), "{arguments:?}: {output:?}");
        }
        assert_eq!(client.keepalive(&near), USUAL);
        for cgroup in [inside, outside] {
            run(&["detach", "--cgroup", cgroup]).ok();
        }
        assert_eq!((scene.inside.programs(), scene.outside.programs()), (vec![], vec![]));
    }
}
