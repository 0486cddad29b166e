//! `deploy/Dockerfile` makes the same image.

use std::path::Path;

use parse_dockerfile::{Command, Instruction, Source};

use crate::{BINARY, LICENCES, SBOM, facts::Facts, image, layer::Layer, sbom};

const DOCKERFILE: &str = include_str!("../../../deploy/Dockerfile");

/// What a stage copies: from which files to where.
fn copied(instructions: &[Instruction<'_>]) -> Vec<(Vec<String>, String)> {
    let copies = instructions.iter().filter_map(|instruction| match instruction {
        Instruction::Copy(copy) => Some(copy),
        _ => None,
    });
    let path = |source: &Source<'_>| match source {
        Source::Path(path) => path.value.to_string(),
        other => panic!("{other:?}"),
    };
    copies.map(|copy| (copy.src.iter().map(path).collect(), copy.dest.value.to_string())).collect()
}

#[test]
fn it_has_the_same_files_labels_and_command() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let metadata = sbom::metadata(workspace, "x86_64-unknown-linux-musl", &[]).unwrap();
    let facts = Facts::gather(workspace, &metadata).unwrap();
    let layer = Layer::new(&[], 0).unwrap();
    let configuration = image::configuration(&facts, &layer, &format!("/{BINARY}")).unwrap();
    let config = configuration.config().as_ref().unwrap();

    let dockerfile = parse_dockerfile::parse(DOCKERFILE).unwrap();
    let stages: Vec<_> = dockerfile.stages().collect();
    let rust = sbom::injector(&metadata).unwrap().rust_version.clone().unwrap();
    let image = format!("docker.io/library/rust:{}.{}-alpine", rust.major, rust.minor);
    assert_eq!(stages.iter().map(|stage| &*stage.from.image.value).collect::<Vec<_>>(), [&*image, "scratch"]);

    let files = copied(stages[1].instructions);
    assert_eq!(files[0].1, format!("/{BINARY}"));
    assert_eq!(files[1].1, format!("/{SBOM}"));
    assert_eq!(files[2].0, LICENCES.map(|name| format!("/image/{name}")));
    assert_eq!(files.len(), 3);
    for instruction in stages[1].instructions {
        match instruction {
            Instruction::Label(label) => {
                // The date is the builder's to say, and the commit is handed over.
                let known = config.labels().as_ref().unwrap().iter();
                for (key, value) in known.filter(|(key, _)| !key.ends_with(".created") && !key.ends_with(".revision")) {
                    let expected = format!("{key}=\"{value}\"");
                    assert!(label.arguments.value.contains(&expected), "{expected}: {}", label.arguments.value);
                }
            }
            Instruction::Entrypoint(entrypoint) => {
                let Command::Exec(words) = &entrypoint.arguments else { panic!("there is no shell: {entrypoint:?}") };
                let words: Vec<String> = words.value.iter().map(|word| word.value.to_string()).collect();
                assert_eq!(Some(&words), config.entrypoint().as_ref());
            }
            Instruction::Env(env) => assert_eq!(Some(&vec![env.arguments.value.to_string()]), config.env().as_ref()),
            Instruction::Arg(_) | Instruction::Copy(_) => {}
            other => panic!("there is nothing to run it: {other:?}"),
        }
    }
}
