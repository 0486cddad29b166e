//! `attach`: puts the programs to work, and watches what they report.

use anyhow::Context as _;

use super::{
    adopt,
    discovery::Discoverer,
    hops,
    session::{Session, Signals},
};
use crate::{
    cgroup::Cgroup,
    cli::Attach,
    duration,
    exit::{Code, Error},
    logging::BPF_MESSAGES,
    output::{self, Event, EventWriter},
    pins::PinDir,
    place::{self, How, Place},
    preflight,
    rules::Rules,
    settings::{self, Settings},
};

/// Attaches, and unless told otherwise watches until a signal or `--for`
/// ends it.
pub(super) fn run(args: &Attach, verbose: u8) -> anyhow::Result<Code> {
    let config = hops::told(&args.hops)?;
    let settings = Settings::of(args).or(config.attach.clone());
    let rules = Rules::for_anyone(&settings, &config.hops, &config.policies)?;
    let discoverer = Discoverer::new(&settings, &config)?;
    if let (Some(interval), None) = (args.discover_interval, &discoverer) {
        let expected = "there is nobody to ask: give --discover aws, too".to_owned();
        return Err(Error::BadValue { what: "--discover-interval", value: duration::exact(interval), expected }.into());
    }
    let cgroup = settings.cgroup.as_deref().context("no cgroup: give --cgroup, or `cgroup` in the file")?;
    let cgroup = Cgroup::open(cgroup).context("--cgroup")?;
    let pins = settings.name.as_deref().map_or_else(|| Ok(PinDir::for_cgroup(cgroup.path())), PinDir::named)?;
    preflight::check_capabilities()?;
    preflight::check_lockdown()?;
    preflight::ensure_bpffs()?;
    preflight::lift_memory_limit();
    for remark in settings::remarks(rules.fallback()) {
        output::message(format_args!("injector: note: {remark}"));
    }

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _inside = runtime.enter();
    // Before anything is attached: from now on a signal ends in a clean detach.
    let signals = Signals::new()?;
    let how = How { watch: !args.detach, log: !args.detach && verbose >= BPF_MESSAGES };
    let Place { mut held, notes } = place::take(&pins, &cgroup, &rules, how)?;
    for note in notes {
        output::message(format_args!("injector: note: {}: {note}", pins.name()));
    }
    let writer = EventWriter::new(args.output);
    if args.detach {
        writer.write(&Event::attached(&held.attached))?;
        if args.existing {
            adopt::existing(&mut held.attached, writer)?;
        }
        runtime.block_on(Session::new(held, discoverer, writer).discover_once())?;
    } else {
        runtime.block_on(Session::new(held, discoverer, writer).run(args, signals))?;
    }
    Ok(Code::Ok)
}
