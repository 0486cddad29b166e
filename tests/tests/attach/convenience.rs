//! What needs no option: the cgroup one is in, a path, a name.

use injector_tests::{Place, Process};

use crate::scene::{SOON, Scene, assert_nothing_left};

#[test]
fn without_a_path_the_callers_own_cgroup_is_attached() {
    let scene = Scene::new("own");
    let mut attach = Process::spawn(Place::cgroup(&scene.inside), scene.injector.binary(), &["attach", "--for", "1s"]);
    let line = attach.expect_line(SOON);
    assert!(line.contains(&format!("to cgroup {}:", scene.inside.kernel_path())), "{line}");
    assert!(attach.wait(SOON).success(), "{}", attach.stderr());
    assert_nothing_left(&scene);
}

#[test]
fn a_path_and_a_name_need_no_option() {
    let scene = Scene::new("plain");
    let _clean_up = scene.injector.clean_up_after(&scene.inside);
    let path = scene.inside.kernel_path();
    scene.injector.run(&["attach", &path, "-d"]).ok();
    let name = scene.inside.attachment_name();
    assert_eq!(scene.injector.run(&["detach", &name]).ok().stdout, format!("detached {name}\n"));
    assert_nothing_left(&scene);
}

/// Where a person may have meant something else.
#[test]
fn all_are_detached_after_a_yes_alone() {
    let scene = Scene::new("yes");
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    let on_a_terminal = |answer: &str, option: &str| {
        let command = format!("{} detach --all {option}", scene.injector.binary());
        let script = format!("echo {answer} | script --quiet --return --command '{command}' /dev/null || true");
        scene.injector.run_through(&["sh", "-c", &format!("{script} #")], &[]).stdout
    };
    let refused = on_a_terminal("n", "");
    assert!(refused.contains(attachment.name()) && refused.contains("nothing was detached"), "{refused}");
    assert_eq!(scene.inside.program_ids("sock_ops").len(), 1);
    assert!(on_a_terminal("y", "").contains("detached"));
    assert_nothing_left(&scene);
    scene.injector.attach_detached(&scene.inside, &[]);
    assert!(!on_a_terminal("n", "--yes").contains("[y/N]"));
    assert_nothing_left(&scene);
}
