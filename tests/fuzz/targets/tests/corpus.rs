//! The committed inputs, as they are and damaged, through the targets: what fuzzing does, in a moment.

use std::{fs, path::PathBuf};

use injector_fuzz_targets::TARGETS;
use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{Config, TestRunner},
};

/// The inputs of a target, by their names.
fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut inputs: Vec<_> = entries
        .map(|entry| entry.expect("readable"))
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).expect("readable")))
        .collect();
    inputs.sort();
    inputs
}

#[test]
fn every_input_is_survived() {
    for (name, target) in TARGETS {
        let inputs = inputs(name);
        assert!(!inputs.is_empty(), "{name} has no inputs");
        for (_, bytes) in inputs {
            target(&bytes);
        }
    }
}

#[test]
fn noise_is_survived() {
    let mut runner = TestRunner::new(Config::with_cases(256));
    let noise = proptest::collection::vec(any::<u8>(), 0..400);
    let survived = runner.run(&noise, |bytes| {
        for (_, target) in TARGETS {
            target(&bytes);
        }
        Ok(())
    });
    survived.expect("any bytes are survived");
}

/// A byte changed, doubled, taken away; the rest turned; the end cut off; another input behind it.
#[test]
fn damage_is_survived() {
    let edits = proptest::collection::vec((any::<Index>(), any::<u8>(), 0_u8..6), 1..5);
    for (name, target) in TARGETS {
        let inputs = inputs(name);
        let which = (any::<Index>(), any::<Index>());
        let mut runner = TestRunner::new(Config::with_cases(256));
        let damaged = runner.run(&(which, edits.clone()), |((one, other), edits)| {
            let mut bytes = one.get(&inputs).1.clone();
            for (index, byte, what) in edits {
                damage(&mut bytes, index, byte, what, &other.get(&inputs).1);
            }
            target(&bytes);
            Ok(())
        });
        damaged.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

fn damage(bytes: &mut Vec<u8>, index: Index, byte: u8, what: u8, other: &[u8]) {
    if bytes.is_empty() {
        bytes.push(byte);
    }
    let at = index.index(bytes.len());
    match what {
        0 => bytes[at] = byte,
        1 => bytes.insert(at, byte),
        2 => drop(bytes.remove(at)),
        3 => bytes[at..].rotate_left(1),
        4 => bytes.truncate(at),
        _ => bytes.extend_from_slice(other),
    }
}
