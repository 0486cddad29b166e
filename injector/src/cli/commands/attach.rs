//! `attach`: attaches the programs, and watches what they report.

use std::path::Path;

use anyhow::Context as _;

use super::{events::StdoutEvents, hops, session};
use crate::{
    agent::{OnLoss, Plan, TargetCgroup, attach_once},
    attachment::acquire::Purpose,
    bpf::{
        pins::{self, PinDir},
        preflight,
    },
    cli::Attach,
    config::{Config, OnExit},
    discovery,
    error::{Code, Error},
    host::{
        cgroup::Cgroup,
        logging::BPF_MESSAGES,
        signals::{OnHangup, Signals},
    },
    output::{self, EventWriter, Outlet},
    rules::settings::Settings,
    units,
};

/// Attaches, and by default watches until a signal or `--for` ends it.
pub(super) fn run(args: &Attach, verbose: u8) -> anyhow::Result<Code> {
    let config = configuration(args)?;
    let cgroup = match &config.attach.cgroup {
        Some(path) => Cgroup::open(path).context("--cgroup")?,
        None => own_cgroup()?,
    };
    let pins = config.attach.name.as_deref().map_or_else(|| Ok(PinDir::for_cgroup(cgroup.path())), PinDir::named)?;
    let log = !args.detach && verbose >= BPF_MESSAGES;
    let purpose = Purpose { watch: !args.detach, log, prove: !args.no_self_test };
    let target = TargetCgroup { cgroup: cgroup.path().to_owned(), pins: pins.clone(), purpose };
    let on_loss = if args.follow { OnLoss::Follow } else { OnLoss::End };
    let plan = Plan::of_one(config, target, on_loss)?;
    preflight::prepare()?;
    if args.detach || args.keep {
        preflight::check_bpffs_lasts()?;
    }
    for remark in plan.remarks() {
        output::message(format_args!("injector: note: {remark}"));
    }

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Until then a signal ends the process by default, also while it waits for a lock.
    drop(pins::lock_all()?);
    let ended = runtime.block_on(async {
        let (outlet, written) = Outlet::open(EventWriter::new(args.output))?;
        let events = StdoutEvents::new(outlet, pins.name(), on_loss);
        if args.detach {
            // With --detach it may be interrupted half-way: see `bpf::attach`.
            let attached = attach_once(plan, Box::new(events)).await;
            let all = written.all().await;
            return attached.and(all.map_err(Into::into));
        }
        // From here on a signal leads to a clean detach.
        let signals = Signals::new(OnHangup::End)?;
        session::watch(plan, pins.name(), args.run_for, signals, (events, written)).await
    });
    runtime.shutdown_background();
    ended.map(|()| Code::Ok)
}

/// The cgroup of the shell or unit that started this process.
fn own_cgroup() -> anyhow::Result<Cgroup> {
    let own = Cgroup::own().context("no cgroup was given, and the one that injector runs in can't be used")?;
    if own.path() == Path::new("/") {
        output::message(format_args!(
            "injector: note: injector runs in the root cgroup, so this covers every connection of this host"
        ));
    }
    Ok(own)
}

/// The configuration file, overridden by the command line.
fn configuration(args: &Attach) -> anyhow::Result<Config> {
    let mut config = hops::configured(&args.hops)?;
    config.attach = Settings::from(args).or(config.attach);
    config.agent.adopt = args.existing;
    config.agent.on_exit = if args.detach || args.keep { OnExit::Keep } else { OnExit::Detach };
    let is_asking = discovery::interval(&config.attach)?.is_some();
    if let (Some(interval), false) = (args.discover_interval, is_asking) {
        let expected = "it needs --discover aws".to_owned();
        return Err(Error::BadValue { what: "--discover-interval", value: units::exact(interval), expected }.into());
    }
    Ok(config)
}
