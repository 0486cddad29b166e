//! `attach`: puts the programs to work, and watches what they report.

use anyhow::Context as _;

use super::{
    ask::Discoverer,
    hops,
    session::{Session, Signals},
};
use crate::{
    attachment::acquire::{self, How, Place},
    bpf::{
        pins::{self, PinDir},
        preflight,
    },
    cli::Attach,
    error::{Code, Error},
    host::{cgroup::Cgroup, logging::BPF_MESSAGES},
    output::{self, EventWriter, Outlet},
    rules::{
        Rules,
        settings::{self, Settings},
    },
    units,
};

/// Attaches, and unless told otherwise watches until a signal or `--for`
/// ends it.
pub(super) fn run(args: &Attach, verbose: u8) -> anyhow::Result<Code> {
    let config = hops::configured(&args.hops)?;
    let settings = Settings::from(args).or(config.attach.clone());
    let rules = Rules::for_anyone(&settings, &config.hops, &config.policies)?;
    let discoverer = Discoverer::new(&settings, &config)?;
    if let (Some(interval), None) = (args.discover_interval, &discoverer) {
        let expected = "there is nobody to ask: give --discover aws, too".to_owned();
        return Err(Error::BadValue { what: "--discover-interval", value: units::exact(interval), expected }.into());
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
    let inside = runtime.enter();
    // A signal ends the wait for others.
    let lock = pins::lock_all()?;
    // From now on it ends in a clean detach. What is to stay may be left half-way: see `bpf::attach`.
    let signals = if args.detach { None } else { Some(Signals::new()?) };
    let how = How { watch: !args.detach, log: !args.detach && verbose >= BPF_MESSAGES };
    let Place { held, notes } = acquire::take(&lock, &pins, &cgroup, &rules, how)?;
    drop(lock);
    for note in notes {
        output::message(format_args!("injector: note: {}: {note}", pins.name()));
    }
    let session = Session::new(held, discoverer, Outlet::open(EventWriter::new(args.output))?);
    drop(inside);
    let ended = match signals {
        Some(signals) => runtime.block_on(session.run(args, signals)),
        None => runtime.block_on(session.leave(args.existing)),
    };
    // Threads that wait for a lock may do so for long.
    runtime.shutdown_background();
    ended.map(|()| Code::Ok)
}
