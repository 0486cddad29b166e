//! `attach`: puts the programs to work, and watches what they report.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use injector_common::{attachment::Attachment, keepalive::Policy};

use super::session::{Session, Signals};
use crate::{
    bpf::{self, Attached, BpfLog},
    cgroup::Cgroup,
    cli::Attach,
    exit::{Code, Error},
    logging::BPF_MESSAGES,
    output::{self, Event, EventWriter},
    pins::{self, PinDir},
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
    let log = attach(&pins, &cgroup, &policy, verbose >= BPF_MESSAGES && !args.detach)?;
    let attached = Attached::open(pins)?;
    let writer = EventWriter::new(args.output);
    if args.detach {
        writer.write(&Event::attached(&attached))?;
        return Ok(Code::Ok);
    }
    runtime.block_on(Session::new(attached, writer).run(args, signals, log))?;
    Ok(Code::Ok)
}

fn attach(pins: &PinDir, cgroup: &Cgroup, policy: &Policy, log: bool) -> anyhow::Result<Option<BpfLog>> {
    let _lock = pins::lock_all()?;
    if pins.is_attached() {
        let there = Attached::open(pins.clone())?;
        let cgroup = String::from_utf8_lossy(there.description().path()).into_owned();
        if there.has_cgroup()? {
            return Err(Error::AlreadyAttached { name: pins.name().to_owned(), cgroup }.into());
        }
        output::message(format_args!("injector: note: replacing {}, whose cgroup {cgroup} was removed", pins.name()));
    }
    let description = Attachment::new(now_unix_ms(), cgroup.id(), cgroup.path().as_os_str().as_encoded_bytes());
    bpf::attach(pins, cgroup, policy, &description, log)
        .with_context(|| format!("attaching to cgroup {}", cgroup.path().display()))
}

fn now_unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
