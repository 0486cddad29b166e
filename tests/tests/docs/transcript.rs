//! The transcript in the README, played again with a connection of our own. Times, numbers and names differ; all else must not.

use std::{fs, path::Path};

use injector_tests::{Route, connected};

use crate::scene::Scene;

/// The cgroup that the README shows, and the attachment, which has its name.
const SHOWN: &str = "billing";

/// A command, and what it printed.
#[derive(Debug)]
struct Step {
    arguments: Vec<String>,
    printed: Vec<String>,
}

/// The block of text after the mark.
fn transcript() -> Vec<Step> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).expect("a README");
    let block = readme.split("<!-- transcript -->\n```text\n").nth(1).and_then(|rest| rest.split("```").next());
    let mut steps: Vec<Step> = Vec::new();
    for line in block.expect("a marked transcript").lines() {
        match line.strip_prefix("$ injector ") {
            Some(arguments) => {
                steps.push(Step { arguments: arguments.split(' ').map(str::to_owned).collect(), printed: Vec::new() });
            }
            None => steps.last_mut().expect("a command comes first").printed.push(line.to_owned()),
        }
    }
    steps
}

/// The words of a line, with one sign for each that has a digit in it.
fn shape(line: &str) -> Vec<&str> {
    let word = |word| if str::contains(word, |char: char| char.is_ascii_digit()) { "#" } else { word };
    line.split_whitespace().map(word).collect()
}

#[test]
fn the_readme_shows_real_output() {
    let scene = Scene::new("readme");
    let name = scene.inside.attachment_name();
    let ours = |text: &str| text.replace(SHOWN, &name);
    let steps = transcript();
    assert!(steps.len() >= 3, "{steps:?}");
    let (mut client, mut server) = (scene.inside_peer(), scene.outside_peer());
    for Step { arguments, printed } in steps {
        let arguments: Vec<_> = arguments.iter().map(|argument| ours(argument)).collect();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let output = scene.injector.run(&arguments).ok();
        let found: Vec<_> = output.stdout.lines().map(shape).collect();
        let expected: Vec<_> = printed.iter().map(|line| ours(line)).collect();
        let expected: Vec<_> = expected.iter().map(|line| shape(line)).collect();
        assert_eq!(found, expected, "injector {}", arguments.join(" "));
        if arguments[0] == "attach" {
            connected(&mut client, &mut server, Route::V4);
        }
    }
}
