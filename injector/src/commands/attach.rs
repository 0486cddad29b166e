//! `attach`: puts the programs to work, and watches what they report.

use anyhow::Context as _;

use super::{
    adopt,
    place::{self, How, Place},
    session::{Session, Signals},
};
use crate::{
    cgroup::Cgroup,
    cli::Attach,
    exit::Code,
    logging::BPF_MESSAGES,
    output::{self, Event, EventWriter},
    pins::PinDir,
    preflight, settings,
};

/// Attaches, and unless told otherwise watches until a signal or `--for`
/// ends it.
pub(super) fn run(args: &Attach, verbose: u8) -> anyhow::Result<Code> {
    let policy = settings::policy(args)?;
    let cgroup = Cgroup::open(&args.cgroup).context("--cgroup")?;
    let pins = args.name.as_deref().map_or_else(|| Ok(PinDir::for_cgroup(cgroup.path())), PinDir::named)?;
    preflight::check_capabilities()?;
    preflight::ensure_bpffs()?;
    preflight::lift_memory_limit();
    for remark in settings::remarks(&policy) {
        output::message(format_args!("injector: note: {remark}"));
    }

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _inside = runtime.enter();
    // Before anything is attached: from now on a signal ends in a clean detach.
    let signals = Signals::new()?;
    let how = How { watch: !args.detach, log: !args.detach && verbose >= BPF_MESSAGES };
    let place = place::take(&pins, &cgroup, &policy, how)?;
    let Place { mut attached, own, log } = place;
    let writer = EventWriter::new(args.output);
    if args.detach {
        writer.write(&Event::attached(&attached))?;
        if args.existing {
            adopt::existing(&mut attached, writer)?;
        }
        return Ok(Code::Ok);
    }
    runtime.block_on(Session::new(attached, own, writer).run(args, signals, log))?;
    Ok(Code::Ok)
}
