//! What `doctor` finds.

use injector_tests::{ForeignProgram, Output};

use crate::scene::Scene;

const FINDINGS: i32 = 5;

/// The line on a topic, without its name.
fn line<'a>(output: &'a Output, topic: &str) -> &'a str {
    let found = output.stdout.lines().find_map(|line| line.strip_prefix(topic));
    found.unwrap_or_else(|| panic!("nothing on {topic}: {}", output.stdout)).trim_start()
}

#[test]
fn a_host_that_can_attach_has_no_findings() {
    let scene = Scene::new("well");
    let output = scene.injector.run(&["doctor", "--cgroup", scene.inside.path_text()]).ok();
    for topic in ["kernel", "BTF", "lockdown", "cgroup v2", "bpffs", "CAP_BPF", "programs", "overruling", "adoption"] {
        assert!(line(&output, topic).starts_with("ok "), "{topic}: {}", output.stdout);
    }
    let json = scene.injector.run(&["doctor", "-o", "json"]).ok().json();
    assert_eq!((&json["schema"], &json["ok"]), (&"injector.doctor/v1".into(), &true.into()), "{json:#}");
    let optional =
        json["checks"].as_array().expect("checks are listed").iter().filter(|check| check["required"] == false);
    let optional: Vec<_> = optional.map(|check| (check["what"].as_str(), check["ok"].as_bool())).collect();
    for what in ["overruling", "tracking packets", "adoption"] {
        assert!(optional.contains(&(Some(what), Some(true))), "{what}: {json:#}");
    }
}

#[test]
fn it_names_programs_of_others_on_the_path() {
    let scene = Scene::new("others");
    let child = scene.inside.child("child");
    let _foreign = ForeignProgram::attach(&scene.inside);
    // On the path to the child, and on the cgroup itself. Whether that is a finding is the doctor's to say.
    for cgroup in [&scene.inside, &child] {
        let output = scene.injector.run(&["doctor", "--cgroup", cgroup.path_text()]);
        assert!([0, FINDINGS].contains(&output.code), "{output:?}");
        assert!(output.stdout.contains(ForeignProgram::NAME), "{}", output.stdout);
    }
}

#[test]
fn an_unprivileged_user_sees_what_is_missing() {
    let scene = Scene::new("unprivileged-doctor");
    let (injector, _directory) = scene.injector.for_everyone();
    let unprivileged = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let output = injector.run_through(&unprivileged, &["doctor"]);
    assert_eq!(output.code, FINDINGS, "{output:?}");
    for reported in ["CAP_BPF", "grant it", "not tried", "other BPF programs on the path: unknown"] {
        assert!(output.stdout.contains(reported), "{reported}: {}", output.stdout);
    }
}

/// With what attaching takes and no more, adoption is all that is missing, and that is no finding.
#[test]
fn it_names_the_feature_that_lacks_a_privilege() {
    let scene = Scene::new("no-ptrace-doctor");
    let few = ["setpriv", "--bounding-set", "-all,+bpf,+net_admin,+perfmon", "--inh-caps", "-all"];
    let output = scene.injector.run_through(&few, &["doctor"]).ok();
    let reported = line(&output, "adoption");
    assert!(reported.starts_with("no "), "{}", output.stdout);
    for part in ["attach --existing", "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH missing"] {
        assert!(reported.contains(part), "{part}: {reported}");
    }
    assert!(line(&output, "tracking packets").starts_with("ok "), "{}", output.stdout);
}

#[test]
fn it_leaves_nothing_behind() {
    let scene = Scene::new("traceless");
    scene.injector.run(&["doctor", "--cgroup", scene.inside.path_text()]);
    crate::scene::assert_nothing_left(&scene);
}
