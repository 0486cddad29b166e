//! The place of an attachment: free, or taken by one that goes on in ours.

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use injector_common::attachment::{Attachment, Since};

use crate::{
    bpf::{self, Attached, BpfLog, Plan, Standing},
    cgroup::Cgroup,
    exit::Error,
    output,
    pins::{self, Lock, OtherVersion, PinDir},
    rules::Rules,
};

/// An attachment that this process has made or taken over.
#[derive(Debug)]
pub(super) struct Place {
    /// What is at work.
    pub(super) attached: Attached,
    /// Tells others that a process watches it, where one is to.
    pub(super) own: Option<Lock>,
    /// The programs' own messages, where they were asked for.
    pub(super) log: Option<BpfLog>,
}

/// What else is to be had of an attachment.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    /// This process goes on to watch it.
    pub(super) watch: bool,
    /// Open the programs' own log.
    pub(super) log: bool,
}

/// Attaches to `cgroup`, or takes over what a process that is gone left there.
///
/// Errors with [`Error::AlreadyAttached`] where a process watches it, or where
/// the name belongs to another cgroup.
pub(super) fn take(pins: &PinDir, cgroup: &Cgroup, rules: &Rules, how: How) -> anyhow::Result<Place> {
    let _lock = pins::lock_all()?;
    let older = OtherVersion::named(pins.name())?;
    for other in &older {
        other.own()?.ok_or_else(|| taken(pins, cgroup.path().display().to_string(), true))?;
    }
    let log = put(pins, cgroup, rules, how.log)
        .with_context(|| format!("attaching to cgroup {}", cgroup.path().display()))?;
    // Only now, so that there is no moment without protection.
    for other in &older {
        note(pins, format_args!("replaced, as it was attached by another version ({})", other.version));
        bpf::detach_other(other)?;
    }
    let attached = Attached::open(pins.clone())?;
    let own = if how.watch { pins.own()? } else { None };
    Ok(Place { attached, own, log })
}

/// Puts other rules in force where this process watches. `None` where `there` is
/// no longer at work under its name.
pub(super) fn change(there: &Attached, rules: &Rules, log: bool) -> anyhow::Result<Option<(Attached, Option<BpfLog>)>> {
    let _lock = pins::lock_all()?;
    if there.standing()? != Standing::AtWork {
        return Ok(None);
    }
    let cgroup = Cgroup::open(Path::new(&there.cgroup_path()))?;
    let attachment = describe(there.description().since(), &cgroup);
    let log = bpf::replace(there, &cgroup, &Plan { rules, attachment: &attachment, log })?;
    Ok(Some((Attached::open(there.pins().clone())?, log)))
}

fn describe(since: Since, cgroup: &Cgroup) -> Attachment {
    Attachment::new(since, cgroup.id(), cgroup.path().as_os_str().as_encoded_bytes())
}

fn put(pins: &PinDir, cgroup: &Cgroup, rules: &Rules, log: bool) -> anyhow::Result<Option<BpfLog>> {
    let Some(there) = takeable(pins, cgroup)? else {
        return bpf::attach(pins, cgroup, &Plan { rules, attachment: &describe(now(), cgroup), log });
    };
    let is_same = bpf::is_same(&there, rules);
    if is_same && !log {
        note(pins, format_args!("taken over as it was"));
        return Ok(None);
    }
    let attachment = describe(there.description().since(), cgroup);
    let log = bpf::replace(&there, cgroup, &Plan { rules, attachment: &attachment, log })?;
    note(pins, format_args!("taken over, with programs and parameters replaced"));
    Ok(log)
}

/// What is at work under that name and may be taken over. `None` where nothing
/// is, whatever pins are left of it.
fn takeable(pins: &PinDir, cgroup: &Cgroup) -> anyhow::Result<Option<Attached>> {
    if !pins.is_attached() {
        return Ok(None);
    }
    let Some(_own) = pins.own()? else {
        let cgroup = Attached::open(pins.clone()).map(|there| there.cgroup_path());
        return Err(taken(pins, cgroup.unwrap_or_default(), true));
    };
    let there = match Attached::open(pins.clone()) {
        Ok(there) => there,
        Err(error) => {
            note(pins, format_args!("attached anew, as its pins are damaged: {error:#}"));
            return Ok(None);
        }
    };
    match there.standing()? {
        Standing::CgroupRemoved => {
            note(pins, format_args!("attached anew, as its cgroup {} was removed", there.cgroup_path()));
            Ok(None)
        }
        Standing::AtWork if there.hooked_to()? != cgroup.id() => Err(taken(pins, there.cgroup_path(), false)),
        Standing::AtWork => Ok(Some(there)),
        Standing::Detached | Standing::Unpinned | Standing::Replaced => Ok(None),
    }
}

fn taken(pins: &PinDir, cgroup: String, watched: bool) -> anyhow::Error {
    Error::AlreadyAttached { name: pins.name().to_owned(), cgroup, watched }.into()
}

fn note(pins: &PinDir, what: std::fmt::Arguments<'_>) {
    output::message(format_args!("injector: note: {}: {what}", pins.name()));
}

fn now() -> Since {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Since {
        unix_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
        boot_ns: boot.tv_sec.cast_unsigned() * 1_000_000_000 + boot.tv_nsec.cast_unsigned(),
    }
}
