//! Pins of an attachment that hold something else than they should: refused by commands that need them, and left alone.

use std::fs;
use std::path::{Path, PathBuf};

use injector_tests::{Attachment, tool, unique_name};

use crate::attach::errors::{FAILURE, assert_fails};
use crate::scene::{Scene, assert_nothing_left};

const BPFFS: &str = "/sys/fs/bpf";

/// Something else in the place of a pin. Dropping it puts the pin back.
struct Exchanged {
    pin: PathBuf,
    aside: PathBuf,
}

impl Exchanged {
    /// `put` is called once the pin is removed.
    fn new(pin: PathBuf, put: impl Fn(&str)) -> Self {
        let aside = Path::new(BPFFS).join(unique_name("aside"));
        // A companion need not be there.
        let _ = fs::rename(&pin, &aside);
        let exchanged = Self { pin, aside };
        put(&exchanged.pin.to_string_lossy());
        exchanged
    }
}

impl Drop for Exchanged {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.pin);
        let _ = fs::rename(&self.aside, &self.pin);
    }
}

/// A map that no attachment has.
fn map(pin: &str) {
    tool("bpftool", &["map", "create", pin, "type", "hash", "key", "4", "value", "8", "entries", "1", "name", "other"]);
}

/// One of the right type, with values of another size.
fn array(pin: &str) {
    tool(
        "bpftool",
        &["map", "create", pin, "type", "array", "key", "4", "value", "8", "entries", "1", "name", "other"],
    );
}

/// Commands that use the pin refuse it and name it. The programs stay attached.
fn assert_refused(scene: &Scene, attachment: &Attachment, exchanged: &Exchanged, is_link: bool) {
    let name = attachment.name();
    let pin = exchanged.pin.to_string_lossy();
    let commands: [&[&str]; 4] = [
        &["attach", "--detach", "--cgroup", scene.inside.path_text()],
        &["flows", "--name", name],
        &["adopt", "--name", name],
        &["detach", "--name", name],
    ];
    // Detaching needs only the links of the programs.
    for command in &commands[..if is_link { 4 } else { 3 }] {
        assert_fails(&scene.injector.run(command), FAILURE, &["refused", &pin]);
    }
    assert_eq!(scene.injector.states(name), ["refused"], "{pin}");
    assert_eq!(scene.inside.program_ids("sock_ops").len(), 1, "{pin}");
}

/// SECURITY.md#pins
#[test]
fn maps_of_another_form() {
    let scene = Scene::new("forms");
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    let generation = attachment.generations()[0].clone();
    let lasting = ["FLOWS", "PACKETS", "COUNTERS"].map(|name| attachment.directory().join(name));
    let of_generation =
        ["RULES", "DECISIONS", "HOPS", "CGROUPS", "SCAN_CONTROL", "ATTACHMENT"].map(|name| generation.join(name));
    for (pin, put) in lasting.into_iter().chain(of_generation).zip([map as fn(&str), array].into_iter().cycle()) {
        assert_refused(&scene, &attachment, &Exchanged::new(pin, put), false);
    }
    {
        let exchanged = Exchanged::new(attachment.directory().join("FLOWS"), array);
        let listed = scene.injector.run(&["status"]).ok().stdout;
        assert!(listed.contains(&format!("refused {}", exchanged.pin.display())), "{listed}");
    }
    assert_eq!(attachment.status().state, "attached", "all is as it was");
}

#[test]
fn a_program_where_a_map_should_be() {
    let scene = Scene::new("program");
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    let id = scene.inside.only_program("sock_ops").to_string();
    let put = |pin: &str| drop(tool("bpftool", &["prog", "pin", "id", &id, pin]));
    for (name, is_link) in [("FLOWS", false), ("keepalive", true), ("guard", true)] {
        assert_refused(&scene, &attachment, &Exchanged::new(attachment.directory().join(name), put), is_link);
    }
}

#[test]
fn a_link_to_something_else() {
    let scene = Scene::new("links");
    let donor_name = scene.inside.attachment_name() + "-donor";
    let donor = scene.injector.attach_detached(&scene.outside, &["--name", &donor_name, "--on-conflict", "enforce"]);
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    let (keepalive, guard) = (donor.directory().join("keepalive"), donor.directory().join("guard"));
    let iterator = donor.generations()[0].join("scan");
    let (directory, generation) = (attachment.directory(), attachment.generations()[0].clone());
    let cases = [
        (directory.join("keepalive"), &iterator, true),
        (directory.join("keepalive"), &guard, true),
        // On the right hook, and of another program.
        (directory.join("keepalive"), &keepalive, true),
        (directory.join("guard"), &keepalive, true),
        (generation.join("scan"), &guard, false),
    ];
    let before = (scene.outside.program_ids("sock_ops"), scene.outside.program_ids("setsockopt"));
    for (pin, other, is_link) in cases {
        let exchanged = Exchanged::new(pin, |pin| fs::hard_link(other, pin).expect("bpffs links"));
        assert_refused(&scene, &attachment, &exchanged, is_link);
    }
    assert_eq!((scene.outside.program_ids("sock_ops"), scene.outside.program_ids("setsockopt")), before);
}

/// A foreign link alone in a directory of ours.
#[test]
fn a_foreign_link_under_a_new_name() {
    let scene = Scene::new("alone");
    let owner = scene.injector.attach_detached(&scene.outside, &[]);
    let directory = owner.directory().with_file_name(scene.inside.attachment_name());
    fs::create_dir(&directory).unwrap();
    let pin = directory.join("keepalive");
    fs::hard_link(owner.directory().join("keepalive"), &pin).unwrap();
    let pin_text = pin.to_string_lossy().into_owned();
    for command in
        [["attach", "--cgroup", scene.inside.path_text()], ["detach", "--name", &scene.inside.attachment_name()]]
    {
        assert_fails(&scene.injector.run(&command), FAILURE, &["refused", &pin_text, "isn't injector's"]);
    }
    fs::remove_dir_all(&directory).unwrap();
    assert_eq!(owner.status().state, "attached");
    assert_nothing_left(&scene);
}
