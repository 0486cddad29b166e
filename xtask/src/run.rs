//! External commands, with failures that name the command and the cure.

use std::{
    ffi::OsStr,
    process::{Command, ExitStatus, Output, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// Runs a command with the terminal as its output; `cure` says what to do when it fails.
pub(crate) fn run(command: &mut Command, cure: &str) -> Result<()> {
    let status = command.status().with_context(|| not_started(command, cure))?;
    check(command, status, cure)
}

/// Runs a command and returns what it wrote to stdout.
pub(crate) fn output(command: &mut Command, cure: &str) -> Result<String> {
    let Output { status, stdout, .. } =
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().with_context(|| not_started(command, cure))?;
    check(command, status, cure)?;
    String::from_utf8(stdout).with_context(|| format!("`{}` wrote no UTF-8", shown(command)))
}

/// What a command wrote to stdout, or nothing when it can't run or fails: for looking what is there.
pub(crate) fn probe(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn check(command: &Command, status: ExitStatus, cure: &str) -> Result<()> {
    if !status.success() {
        bail!("`{}` failed ({status}): {cure}", shown(command));
    }
    Ok(())
}

fn not_started(command: &Command, cure: &str) -> String {
    format!("`{}` could not be started: {cure}", shown(command))
}

fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_the_cure() {
        let error = run(Command::new("false").arg("--now"), "use `true`").unwrap_err();
        let message = format!("{error:#}");
        assert!(message.contains("`false --now` failed"), "{message}");
        assert!(message.contains("use `true`"), "{message}");
    }

    #[test]
    fn a_missing_command_is_named_too() {
        let error = output(&mut Command::new("/no/such/tool"), "install it").unwrap_err();
        let message = format!("{error:#}");
        assert!(message.contains("`/no/such/tool` could not be started: install it"), "{message}");
    }

    #[test]
    fn a_probe_of_something_absent_is_no_error() {
        assert_eq!(probe(&mut Command::new("/no/such/tool")), None);
        assert_eq!(probe(Command::new("echo").arg("here")), Some("here\n".to_owned()));
    }
}
