//! Symlinks among the pins: never followed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use injector_tests::{Attachment, PINS};

use crate::attach::errors::{FAILURE, assert_fails};
use crate::scene::Scene;

/// A path that is removed again, whatever it is by then.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn assert_untouched(scene: &Scene, attachment: &Attachment) {
    assert_eq!(attachment.status().state, "attached");
    assert_eq!(scene.inside.program_ids("sock_ops").len(), 1);
}

#[test]
fn a_name_that_leads_to_another_attachment() {
    let scene = Scene::new("link");
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    let nowhere = PathBuf::from("/nowhere");
    for target in [attachment.directory(), nowhere, "/tmp".into(), attachment.generations()[0].join("scan")] {
        let name = format!("{}-link", attachment.name());
        let link = Removed(PathBuf::from(PINS).join(&name));
        symlink(&target, &link.0).unwrap();
        let path = scene.outside.path_text();
        for command in [
            &["flows", "--name", &name][..],
            &["adopt", "--name", &name],
            &["detach", "--name", &name],
            &["attach", "--name", &name, "--cgroup", path],
            &["attach", "--name", &name, "--cgroup", scene.inside.path_text(), "--detach"],
        ] {
            assert_fails(&scene.injector.run(command), FAILURE, &["refused", &name, "symlink"]);
        }
        assert_eq!(scene.injector.states(&name), ["refused"]);
        let output = scene.injector.run(&["flows", "--cgroup", path]);
        assert!(output.stderr.contains(&format!("skipped {name}: refused")), "{output:?}");
        assert!(fs::symlink_metadata(&link.0).is_ok(), "it is left to its owner");
        assert_untouched(&scene, &attachment);
        assert_eq!(scene.outside.programs(), []);
    }
}

/// SECURITY.md#pins
#[test]
fn a_pin_that_leads_elsewhere() {
    let scene = Scene::new("pin-link");
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    let generation = attachment.generations()[0].clone();
    let pins = ["keepalive", "FLOWS"].map(|name| attachment.directory().join(name));
    for pin in pins.into_iter().chain([generation.join("ATTACHMENT"), generation.join("scan"), generation]) {
        let aside = pin.with_file_name("aside");
        fs::rename(&pin, &aside).unwrap();
        {
            let link = Removed(pin.clone());
            symlink(&aside, &link.0).unwrap();
            for command in
                [&["flows", "--name", attachment.name()][..], &["attach", "--cgroup", scene.inside.path_text()]]
            {
                let output = scene.injector.run(command);
                assert_fails(&output, FAILURE, &["refused", &pin.to_string_lossy()]);
            }
            assert_eq!(scene.injector.states(attachment.name()), ["refused"], "{}", pin.display());
        }
        fs::rename(&aside, &pin).unwrap();
        assert_untouched(&scene, &attachment);
    }
}
