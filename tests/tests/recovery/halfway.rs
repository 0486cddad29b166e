//! What a process leaves that is killed half-way through replacing an attachment: the next `attach` puts it right. Made by
//! moving pins from one attachment to another, as the moments are short.

use std::fs;
use std::path::PathBuf;

use injector_tests::{Attachment, Route, connected, pins};

use crate::scene::Scene;

fn guard(attachment: &Attachment) -> PathBuf {
    attachment.directory().join("guard")
}

/// As left by a process that was killed after it had put the guard on its hook, and before it replaced the rest.
#[test]
fn a_guard_that_does_not_belong_there_is_detached() {
    let scene = Scene::new("half-guard");
    let donor_name = scene.inside.attachment_name() + "-donor";
    let donor = scene.injector.attach_detached(&scene.inside, &["--name", &donor_name, "--on-conflict", "enforce"]);
    let mut attachment = scene.injector.attach_detached(&scene.inside, &["--on-conflict", "respect"]);
    fs::rename(guard(&donor), guard(&attachment)).unwrap();
    drop(donor);
    assert_eq!(scene.inside.program_ids("setsockopt").len(), 1);
    attachment.take_over(&scene.inside, &["--on-conflict", "respect"]);
    assert_eq!(scene.inside.program_ids("setsockopt"), [] as [u64; 0]);
    assert_eq!(attachment.status().on_conflict, "respect");
}

/// As left by a process that was killed after it had replaced the guard, and before it replaced the rest.
#[test]
fn a_guard_of_other_parameters_is_replaced() {
    let scene = Scene::new("half-other");
    let donor_name = scene.inside.attachment_name() + "-donor";
    let donor = scene.injector.attach_detached(&scene.inside, &["--name", &donor_name, "--on-conflict", "enforce"]);
    let mut attachment = scene.injector.attach_detached(&scene.inside, &["--on-conflict", "tighten"]);
    fs::remove_file(guard(&attachment)).unwrap();
    fs::rename(guard(&donor), guard(&attachment)).unwrap();
    drop(donor);
    attachment.take_over(&scene.inside, &["--on-conflict", "tighten"]);
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    let (near, _far) = connected(&mut client, &mut server, Route::V4);
    client.set(&near, "TCP_KEEPIDLE", 10);
    assert_eq!(client.keepalive(&near).idle, 10, "a faster one stands");
}

/// As left by a process that was killed before its programs were attached.
#[test]
fn a_generation_that_never_worked_is_removed() {
    for timeout in ["350s", "60s"] {
        let scene = Scene::new("half-pinned");
        let donor_name = scene.inside.attachment_name() + "-donor";
        let donor = scene.injector.attach_detached(&scene.outside, &["--name", &donor_name]);
        let mut attachment = scene.injector.attach_detached(&scene.inside, &[]);
        let generation = donor.generations().pop().expect("one");
        let left = attachment.directory().join(generation.file_name().expect("a name"));
        fs::rename(generation, &left).unwrap();
        drop(donor);
        attachment.take_over(&scene.inside, &["--timeout", timeout]);
        assert!(!left.exists(), "--timeout {timeout}: {:?}", pins(attachment.name()));
        assert_eq!(attachment.status().state, "attached");
    }
}
