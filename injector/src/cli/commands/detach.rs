//! `detach`: detaches programs and removes their pins.

use std::io::{self, IsTerminal as _};

use anyhow::Context as _;

use super::target;
use crate::{
    attachment,
    bpf::{
        Opened,
        pins::{self, PinDir},
        preflight,
    },
    cli::{AttachmentArgs, Detach},
    error::{Code, Error},
    output,
};

/// Detaches what the arguments name.
pub(super) fn run(args: &Detach) -> anyhow::Result<Code> {
    preflight::check_capabilities()?;
    let target = args.target();
    if !preflight::has_bpffs() {
        return if args.all { Ok(Code::Ok) } else { Err(missing(&target)) };
    }
    if args.all && !args.yes && !is_confirmed()? {
        output::message(format_args!("injector: nothing was detached"));
        return Ok(Code::Failure);
    }
    let lock = pins::lock_all()?;
    let (mut detached, mut errors) = (Vec::new(), Vec::new());
    for pins in chosen(args.all, &target)? {
        let name = pins.name().to_owned();
        match attachment::detach(&pins).with_context(|| format!("detaching {name}")) {
            Ok(()) => detached.push(name),
            // The others can still be detached.
            Err(error) => errors.push(error),
        }
    }
    pins::tidy();
    drop(lock);
    // Only now: a closed stdout must not hide earlier failures.
    let written = detached.iter().try_for_each(|name| output::line(format_args!("detached {name}")));
    errors.splice(0..0, written.err().map(Into::into));
    let last = errors.pop();
    for error in &errors {
        output::report(error);
    }
    last.map_or(Ok(Code::Ok), Err)
}

/// Asks, on a terminal; a script is taken at its word.
fn is_confirmed() -> anyhow::Result<bool> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Ok(true);
    }
    let names: Vec<_> = PinDir::all()?.iter().map(|pins| pins.name().to_owned()).collect();
    if names.is_empty() {
        return Ok(true);
    }
    output::question(format_args!("detach {}? [y/N] ", names.join(", ")));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("reading the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Incomplete attachments are found by name and by `--all`.
fn chosen(all: bool, target: &AttachmentArgs) -> anyhow::Result<Vec<PinDir>> {
    let chosen = if all {
        PinDir::all()?
    } else if let Some(name) = &target.name {
        let pins = PinDir::named(name)?;
        if pins.exists() { vec![pins] } else { vec![] }
    } else {
        let Opened { attached, skipped } = target::attachments(target)?;
        let attached = attached.iter().map(|attached| attached.pins().clone());
        attached.chain(skipped.into_iter().map(|(pins, _)| pins)).collect()
    };
    if chosen.is_empty() && !all { Err(missing(target)) } else { Ok(chosen) }
}

fn missing(target: &AttachmentArgs) -> anyhow::Error {
    let name = target.name.clone();
    let cgroup = target.cgroup.as_ref().map(|path| path.display().to_string());
    match (name, cgroup) {
        (Some(name), _) => Error::NotAttached { name }.into(),
        (None, cgroup) => Error::CgroupNotAttached { cgroup: cgroup.unwrap_or_default() }.into(),
    }
}
