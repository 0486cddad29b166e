//! Running a tool to its end.

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// Runs a tool and returns what it wrote to stdout. Panics with its stderr when it fails.
pub fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| missing(program, &error));
    checked(program, arguments, &output)
}

/// Like [`tool`], with `input` on stdin.
pub fn pipe(program: &str, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| missing(program, &error));
    child
        .stdin
        .take()
        .expect("stdin was asked for")
        .write_all(input.as_bytes())
        .unwrap_or_else(|error| panic!("{program} does not read its input: {error}"));
    let output = child.wait_with_output().unwrap_or_else(|error| panic!("cannot wait for {program}: {error}"));
    checked(program, arguments, &output)
}

fn missing(program: &str, error: &std::io::Error) -> ! {
    panic!("cannot run `{program}`: {error}; `cargo xtask setup` installs what the tests need")
}

fn checked(program: &str, arguments: &[&str], output: &Output) -> String {
    assert!(
        output.status.success(),
        "`{program} {}` failed: {}\n{}{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
