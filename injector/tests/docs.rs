//! The documentation shows what the program prints: reference pages are generated, and commands that need no privilege are run
//! and compared.
//!
//! `UPDATE_DOCS=1 cargo test --package injector --test docs` writes the pages.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use injector::internals::command;
use tempfile::TempDir;

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src").join(name)
}

fn check(name: &str, expected: &str) {
    let path = page(name);
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, expected).expect("pages may be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/src/{name} is not what the program says: run with UPDATE_DOCS=1, and look at the difference"
    );
}

#[test]
fn the_command_line() {
    // Wide enough that nothing is wrapped: a page has its own lines.
    let options = clap_markdown::MarkdownOptions::new()
        .title("Command line".to_owned())
        .show_footer(false)
        .show_table_of_contents(true)
        .show_aliases(true);
    check("reference/cli.md", &clap_markdown::help_markdown_command_custom(&command(), &options));
}

#[test]
fn the_configuration_file() {
    let text = format!(
        "# Configuration file\n\n\
         For `attach --config`, `run --config`, `timeouts`, `check` and `recommend`. `injector config default` prints this file, \
         `injector config check FILE` finds mistakes, and `injector config show FILE` prints the effective configuration.\n\n\
         ```toml\n{}```\n",
        run(&["config", "default"], Path::new("/")).0
    );
    check("reference/configuration.md", &text);
}

fn run(args: &[&str], directory: &Path) -> (String, Option<i32>) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_injector")).args(args).current_dir(directory).output().expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8(text).expect("it writes UTF-8"), output.status.code())
}

/// A command of a page, and the output that follows it.
struct Example {
    command: String,
    output: String,
}

/// Pairs of a block of `sh` with one line and the block of `text` after it.
fn examples(markdown: &str) -> Vec<Example> {
    let mut blocks = Vec::new();
    let mut rest = markdown;
    while let Some(start) = rest.find("```") {
        let (kind, body) = rest[start + 3..].split_once('\n').expect("a block has lines");
        let end = body.find("```").expect("a block ends");
        blocks.push((kind, &body[..end]));
        rest = &body[end + 3..];
    }
    let pair = |two: &[(&str, &str)]| match two {
        [("sh", command), ("text", output)] if command.lines().count() == 1 => {
            Some(Example { command: command.trim().to_owned(), output: (*output).to_owned() })
        }
        _ => None,
    };
    blocks.windows(2).filter_map(pair).collect()
}

/// Whether `line` is a finding or a row of this host, which differs from one to the other.
fn is_of_this_host(line: &str) -> bool {
    line.contains("nf_conntrack") || line.contains("conntrack_allowance")
}

fn comparable(text: &str) -> Vec<String> {
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().filter(|line| !is_of_this_host(line)).map(squeezed).collect()
}

/// Each page's examples that need neither privileges nor connections print what the page shows.
#[test]
fn examples_are_real() {
    let directory = TempDir::new().unwrap();
    let hops = fs::read_to_string(page("hops.md")).unwrap();
    let file = hops.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a file in hops.md");
    let application = "\n[[application]]\nname = \"billing\"\nidle = \"60s\"\n";
    fs::write(directory.path().join("hops.toml"), file.to_owned() + application).unwrap();
    let mut seen = 0;
    for name in ["check.md", "recommend.md"] {
        for Example { command, output } in examples(&fs::read_to_string(page(name)).unwrap()) {
            let (command, filter) = command.split_once(" | grep ^").unwrap_or((&command, ""));
            let words: Vec<_> = command.split(' ').skip(1).collect();
            let (printed, _) = run(&words, directory.path());
            let kept: String =
                printed.lines().filter(|line| line.starts_with(filter)).map(|line| line.to_owned() + "\n").collect();
            assert_eq!(comparable(&kept), comparable(&output), "{name}: {command}");
            seen += 1;
        }
    }
    assert!(seen >= 3, "only {seen} examples were found");
}
