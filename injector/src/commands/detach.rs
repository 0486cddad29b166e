//! `detach`: takes programs off and removes their pins.

use anyhow::Context as _;

use super::target;
use crate::{
    bpf,
    cli::Detach,
    exit::{Code, Error},
    output, pins,
    pins::PinDir,
    preflight,
};

/// Detaches what the arguments name.
pub(super) fn run(args: &Detach) -> anyhow::Result<Code> {
    preflight::check_capabilities()?;
    if !preflight::has_bpffs() {
        return if args.all { Ok(Code::Ok) } else { Err(missing(args)) };
    }
    let _lock = pins::lock_all()?;
    for pins in chosen(args)? {
        bpf::detach(&pins).with_context(|| format!("detaching {}", pins.name()))?;
        output::line(format_args!("detached {}", pins.name()))?;
    }
    pins::tidy();
    Ok(Code::Ok)
}

/// Incomplete attachments are found by name and by `--all`.
fn chosen(args: &Detach) -> anyhow::Result<Vec<PinDir>> {
    if args.all {
        return PinDir::all();
    }
    if let Some(name) = &args.target.name {
        let pins = PinDir::named(name)?;
        return if pins.exists() { Ok(vec![pins]) } else { Err(missing(args)) };
    }
    Ok(target::attachments(&args.target)?.iter().map(|attached| attached.pins().clone()).collect())
}

fn missing(args: &Detach) -> anyhow::Error {
    let name = args.target.name.clone();
    let cgroup = args.target.cgroup.as_ref().map(|path| path.display().to_string());
    match (name, cgroup) {
        (Some(name), _) => Error::NotAttached { name }.into(),
        (None, cgroup) => Error::CgroupNotAttached { cgroup: cgroup.unwrap_or_default() }.into(),
    }
}
