//! Attachments of another pin layout, as another version of injector has left them.

use injector_tests::{eventually, move_to_other_version};

use crate::attach::errors::{FAILURE, assert_fails};
use crate::scene::{SOON, Scene};

/// It would take protection from the first without a word.
#[test]
fn the_name_of_another_cgroup_is_refused() {
    let scene = Scene::new("elsewhere");
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    let before = scene.inside.only_program("sock_ops");
    let other = ["attach", "--detach", "--cgroup", scene.outside.path_text(), "--name", attachment.name()];
    assert_fails(&scene.injector.run(&other), FAILURE, &["already attached", attachment.name()]);
    assert_eq!(scene.inside.only_program("sock_ops"), before);
    assert_eq!(scene.outside.programs(), []);
}

#[test]
fn another_pin_layout_is_refused_and_left_alone() {
    let scene = Scene::new("layout");
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    let before = scene.inside.only_program("sock_ops");
    let moved = move_to_other_version(attachment.name());
    let layout = moved.parent().expect("a layout").to_string_lossy();
    let attach = ["attach", "--cgroup", scene.inside.path_text()];
    for arguments in [&attach[..], &["detach", "--all"], &["status"], &["flows"]] {
        let output = scene.injector.run(arguments);
        assert_fails(&output, FAILURE, &[&format!("refused {layout}"), "detach with that version"]);
    }
    assert_eq!((scene.inside.only_program("sock_ops"), moved.exists()), (before, true));
    std::fs::remove_dir_all(layout.as_ref()).expect("as it says");
    drop(attachment);
    eventually("nothing is left", SOON, || scene.inside.programs().is_empty().then_some(()));
}
