//! `detach`: detaches programs and removes their pins.

use anyhow::Context as _;

use super::target;
use crate::{
    attachment,
    bpf::{
        Opened,
        pins::{self, PinDir},
        preflight,
    },
    cli::Detach,
    error::{Code, Error},
    output,
};

/// Detaches what the arguments name.
pub(super) fn run(args: &Detach) -> anyhow::Result<Code> {
    preflight::check_capabilities()?;
    if !preflight::has_bpffs() {
        return if args.all { Ok(Code::Ok) } else { Err(missing(args)) };
    }
    let lock = pins::lock_all()?;
    let (mut detached, mut errors) = (Vec::new(), Vec::new());
    for pins in chosen(args)? {
        let name = pins.name().to_owned();
        match attachment::detach(&pins).with_context(|| format!("detaching {name}")) {
            Ok(()) => detached.push(name),
            // The others can be detached all the same.
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

/// Incomplete attachments are found by name and by `--all`.
fn chosen(args: &Detach) -> anyhow::Result<Vec<PinDir>> {
    let chosen = if args.all {
        PinDir::all()?
    } else if let Some(name) = &args.target.name {
        let pins = PinDir::named(name)?;
        if pins.exists() { vec![pins] } else { vec![] }
    } else {
        let Opened { attached, skipped } = target::attachments(&args.target)?;
        let attached = attached.iter().map(|attached| attached.pins().clone());
        attached.chain(skipped.into_iter().map(|(pins, _)| pins)).collect()
    };
    if chosen.is_empty() && !args.all { Err(missing(args)) } else { Ok(chosen) }
}

fn missing(args: &Detach) -> anyhow::Error {
    let name = args.target.name.clone();
    let cgroup = args.target.cgroup.as_ref().map(|path| path.display().to_string());
    match (name, cgroup) {
        (Some(name), _) => Error::NotAttached { name }.into(),
        (None, cgroup) => Error::CgroupNotAttached { cgroup: cgroup.unwrap_or_default() }.into(),
    }
}
