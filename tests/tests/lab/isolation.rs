//! What one test makes is out of the others' sight.

use std::fs;
use std::sync::mpsc;
use std::thread;

use injector_tests::Attachment;
use serde_json::json;

use crate::scene::Scene;

/// Of all kinds: watched, detached, damaged.
fn attachments(scene: &Scene) -> [Attachment; 3] {
    let name = |kind: &str| format!("{}-{kind}", scene.inside.attachment_name());
    let watched = scene.attach(&["--name", &name("watched")]);
    let detached = scene.injector.attach_detached(&scene.inside, &["--name", &name("detached")]);
    let damaged = scene.injector.attach_detached(&scene.inside, &["--name", &name("damaged")]);
    fs::remove_dir_all(&damaged.generations()[0]).expect("pins may be removed");
    [watched, detached, damaged]
}

#[test]
fn attachments_of_others_are_out_of_sight() {
    let (notify, attached) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    // Threads take after the one that starts them: this one has nothing of its own yet.
    let other = thread::spawn(move || {
        let scene = Scene::new("neighbour");
        let attachments = attachments(&scene);
        notify.send(()).expect("the test waits");
        ended.recv().expect("the test ends");
        assert_eq!(attachments.each_ref().map(|one| scene.injector.states(one.name()).len()), [1; 3]);
        assert_eq!(scene.inside.program_ids("sock_ops").len(), 3);
    });
    attached.recv().expect("the other one attaches");
    let scene = Scene::new("isolated");
    let listed = |scene: &Scene| scene.injector.run(&["status", "-o", "json"]).ok().json()["attachments"].clone();
    assert_eq!(listed(&scene), json!([]));
    let own = scene.attach(&[]);
    assert_eq!(listed(&scene)[0]["name"], own.name());
    assert_eq!(scene.injector.run(&["flows", "-o", "jsonl"]).ok().stdout, "");
    drop(own);
    scene.injector.run(&["detach", "--all"]).ok();
    end.send(()).expect("the other one waits");
    other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}
