//! What `doctor` finds.

use injector_tests::ForeignProgram;

use crate::scene::Scene;

const FINDINGS: i32 = 5;

#[test]
fn a_host_that_can_attach_is_well() {
    let scene = Scene::new("well");
    let output = scene.injector.run(&["doctor", "--cgroup", scene.inside.path_text()]).ok();
    for topic in ["kernel", "BTF", "cgroup", "bpffs", "CAP_BPF"] {
        assert!(output.stdout.to_lowercase().contains(&topic.to_lowercase()), "{topic}: {}", output.stdout);
    }
    let json = scene.injector.run(&["doctor", "-o", "json"]).ok().json();
    assert!(json["schema"].as_str().is_some_and(|schema| schema.starts_with("injector.doctor/")), "{json:#}");
}

#[test]
fn it_names_programs_of_others_on_the_path() {
    let scene = Scene::new("others");
    let child = scene.inside.child("child");
    let _foreign = ForeignProgram::attach(&scene.inside);
    // On the way to the child, and on the cgroup itself. Whether that is a finding is the doctor's to say.
    for cgroup in [&scene.inside, &child] {
        let output = scene.injector.run(&["doctor", "--cgroup", cgroup.path_text()]);
        assert!([0, FINDINGS].contains(&output.code), "{output:?}");
        assert!(output.stdout.contains(ForeignProgram::NAME), "{}", output.stdout);
    }
}

#[test]
fn it_tells_nobody_what_is_missing() {
    let scene = Scene::new("nobody-doctor");
    let (injector, _directory) = scene.injector.for_everyone();
    let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let output = injector.run_through(&nobody, &["doctor"]);
    assert_eq!(output.code, FINDINGS, "{output:?}");
    for told in ["CAP_BPF", "grant it", "programs of others on the way: unknown"] {
        assert!(output.stdout.contains(told), "{told}: {}", output.stdout);
    }
}

#[test]
fn it_leaves_nothing_behind() {
    let scene = Scene::new("traceless");
    scene.injector.run(&["doctor", "--cgroup", scene.inside.path_text()]);
    crate::scene::assert_nothing_left(&scene);
}
