//! Where programs of others, systemd, or a namespace leave no room for ours: refused, named, and nothing of theirs stops.

use injector_tests::{Cgroup, ForeignProgram, Output, Signal, tool};

use crate::scene::{Scene, assert_nothing_left};

fn attach(scene: &Scene, cgroup: &Cgroup, more: &[&str]) -> Output {
    scene.injector.run(&[&["attach", "--cgroup", cgroup.path_text(), "--for", "1s"], more].concat())
}

/// What `doctor` says of the `sock_ops` hook, and its exit code.
fn doctor(scene: &Scene, cgroup: &Cgroup) -> (String, i32) {
    let output = scene.injector.run(&["doctor", "--cgroup", cgroup.path_text()]);
    let line = output.stdout.lines().find(|line| line.starts_with("sock_ops hook"));
    (line.unwrap_or_else(|| panic!("{output:?}")).to_owned(), output.code)
}

#[test]
fn a_program_that_allows_no_other_is_named() {
    let scene = Scene::new("exclusive");
    let child = scene.inside.child("child");
    let (before, code) = doctor(&scene, &child);
    assert!(before.contains(" ok ") && code == 0, "{before}");
    // Alone, and alone until another one replaces it below.
    for (flags, here, below) in [
        (&[][..], "allows no other", "allows no other"),
        (&["override"], "allows no other", "would no longer run for what is below"),
    ] {
        let foreign = ForeignProgram::attach_as(&scene.inside, flags);
        for (cgroup, expected) in [(&scene.inside, here), (&child, below)] {
            let output = attach(&scene, cgroup, &[]);
            assert_eq!(output.code, 1, "{output:?}");
            for word in [expected, ForeignProgram::NAME, "sock_ops", &scene.inside.kernel_path(), "BPF_F_ALLOW_MULTI"] {
                assert!(output.stderr.contains(word), "{word}: {output:?}");
            }
        }
        let (line, code) = doctor(&scene, &child);
        assert!(line.contains("MISSING") && line.contains(below) && code == 5, "{line}");
        let effective = tool("bpftool", &["cgroup", "show", child.path_text(), "effective"]);
        assert!(effective.contains(ForeignProgram::NAME), "theirs still runs below: {effective}");
        drop(foreign);
    }
    attach(&scene, &child, &[]).ok();
    assert_nothing_left(&scene);
}

#[test]
fn a_hook_that_is_full_is_called_that() {
    let scene = Scene::new("full");
    let foreign: Vec<_> = (0..64).map(|_| ForeignProgram::attach(&scene.inside)).collect();
    let output = attach(&scene, &scene.inside, &[]);
    assert!(output.code == 1 && output.stderr.contains("64 programs are on it already"), "{output:?}");
    let (line, _) = doctor(&scene, &scene.inside);
    assert!(line.contains("64 programs"), "{line}");
    drop(foreign);
}

/// systemd could not attach the unit's firewall afterwards, and the unit would run without it.
#[test]
fn units_that_do_not_delegate_keep_their_packets_to_themselves() {
    let scene = Scene::new("unit");
    let unit = scene.inside.child("a.service");
    let output = attach(&scene, &unit, &["--track", "packets"]);
    assert!(output.code == 1 && output.stderr.contains("IPAddressDeny="), "{output:?}");
    assert_eq!(unit.programs(), []);
    attach(&scene, &unit, &["--track", "packets-regardless"]).ok();
    attach(&scene, &unit, &[]).ok();
    let delegate = "import os, sys; os.setxattr(sys.argv[1], 'user.delegate', b'1')";
    tool("python3", &["-c", delegate, unit.path_text()]);
    let mut attachment = scene.injector.attach(&unit, &["--track", "packets"]);
    attachment.stop(Signal::TERM).ok();
    assert_nothing_left(&scene);
}

/// Docker's default: `/` is one cgroup of the host there.
#[test]
fn the_root_of_a_cgroup_namespace_is_not_the_host() {
    let scene = Scene::new("namespace");
    let inside = scene.inside.path_text();
    let script = "echo $$ > \"$1/cgroup.procs\"; shift
        exec unshare --cgroup --mount sh -c '
            grep \" - cgroup2 \" /proc/self/mountinfo | cut -d \" \" -f 5 | xargs -n 1 umount --lazy
            mount -t cgroup2 none /mnt; exec \"$@\"' sh \"$@\"";
    let wrapper = ["sh", "-c", script, "sh", inside];
    let output = scene.injector.run_through(&wrapper, &["attach", "--cgroup", "/", "--for", "1s"]);
    assert!(output.code == 3 && output.stderr.contains("cgroup namespace"), "{output:?}");
    let output = scene.injector.run_through(&wrapper, &["doctor"]);
    assert!(output.code == 5 && output.stdout.contains("attaching there is refused"), "{output:?}");
    assert_nothing_left(&scene);
}

/// What is pinned there goes with the namespace.
#[test]
fn a_bpffs_of_its_own_is_no_place_to_stay() {
    let scene = Scene::new("bpffs-own");
    let without = "umount --all-targets /sys/fs/bpf && exec \"$@\"";
    let wrapper = ["unshare", "--mount", "sh", "-c", without, "sh"];
    for stay in ["--detach", "--keep"] {
        let output = scene.injector.run_through(&wrapper, &["attach", "--cgroup", scene.inside.path_text(), stay]);
        assert!(output.code == 3 && output.stderr.contains("mount it outside"), "{stay}: {output:?}");
        assert_eq!(scene.inside.programs(), [], "{stay}");
    }
}
