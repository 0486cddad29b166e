//! What loading costs: the verifier follows at most a million instructions of a program, and takes seconds for them.

use std::collections::BTreeMap;

use injector_tests::{Objects, tool};

use crate::scene::Scene;

/// The same programs are ten times as many instructions to the verifiers of some older kernels.
const MOST: u64 = 100_000;

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/verified.py");

/// Instructions followed, by the program's id.
fn verified() -> BTreeMap<u64, (String, u64)> {
    let number = |text: &str| text.parse().expect("a number");
    let line = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        (number(words[0]), (words[1].to_owned(), number(words[2])))
    };
    tool("python3", &[PROGRAMS]).lines().map(line).collect()
}

#[test]
fn every_program_is_far_from_the_verifiers_limit() {
    let hops =
        ["--hop", "a=custom:60s@10.0.0.0/8:443", "--hop", "b=eni", "--track", "packets", "--on-conflict", "enforce"];
    for options in [&[][..], &hops] {
        let scene = Scene::new("verifier");
        let attachment = scene.injector.attach_detached(&scene.inside, options);
        let all = verified();
        let ours: Vec<_> = Objects::pinned(attachment.name()).programs.iter().filter_map(|id| all.get(id)).collect();
        assert!(ours.len() >= 2 && ours.iter().any(|(name, _)| name == "keepalive"), "{ours:?} of {all:?}");
        for (name, count) in ours {
            assert!((100..MOST).contains(count), "{name}: {count} instructions with {options:?}");
        }
    }
}
