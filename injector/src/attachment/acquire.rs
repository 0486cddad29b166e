//! Acquires an attachment: makes a new one, or takes over an existing one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use injector_common::attachment::{Attachment, Since};

use crate::{
    attachment::{
        Held,
        proof::{self, Proof},
    },
    bpf::{
        self, AttachPlan, Attached, AttachmentState, BpfLog, GuardRefused,
        pins::{self, Lock, PinDir},
    },
    error::Error,
    host::cgroup::Cgroup,
    rules::Rules,
};

/// An attachment that this process has made or taken over.
#[derive(Debug)]
pub(crate) struct Acquired {
    /// The attachment.
    pub held: Held,
    /// Notes on an earlier attachment, a sentence each.
    pub notes: Vec<String>,
    /// Why its self-test failed, where it existed before and was left attached.
    pub failed: Option<String>,
}

/// What this process does with an attachment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purpose {
    /// This process watches it.
    pub watch: bool,
    /// Open the programs' own log.
    pub log: bool,
    /// Run the self-test, see [`proof`].
    pub prove: bool,
}

/// Attaches to `cgroup`, or takes over what a process that has ended left there.
///
/// Errors with [`Error::AlreadyAttached`] where a process watches it, or where
/// the name belongs to another cgroup.
pub(crate) fn take(
    _lock: &Lock,
    pins: &PinDir,
    cgroup: &Cgroup,
    rules: &Rules,
    purpose: Purpose,
) -> anyhow::Result<Acquired> {
    let begun = now();
    let put = |rules: &Rules| {
        let mut notes = Vec::new();
        let log = put(pins, cgroup, rules, purpose.log, &mut notes)?;
        Ok((log, notes))
    };
    let ((log, mut notes), without_guard) =
        guarded(rules, put).with_context(|| format!("attaching to cgroup {}", cgroup.path().display()))?;
    notes.extend(without_guard);
    let attached = Attached::open(pins.clone())?;
    let is_new = attached.description().since().boot_ns >= begun.boot_ns;
    let failed = if purpose.prove { prove(&attached, cgroup, is_new, &mut notes)? } else { None };
    let own = if purpose.watch { pins.own()? } else { None };
    Ok(Acquired { held: Held { attached, own, log }, notes, failed })
}

/// Applies `rules`; where this host refuses the guard and it was not requested, applies them without, and returns a
/// note.
pub(super) fn guarded<T>(
    rules: &Rules,
    mut put: impl FnMut(&Rules) -> anyhow::Result<T>,
) -> anyhow::Result<(T, Option<String>)> {
    let error = match put(rules) {
        Err(error) if error.is::<GuardRefused>() => error,
        result => return result.map(|done| (done, None)),
    };
    let Some(without) = rules.without_guard() else { return Err(error) };
    let note = format!("keepalive calls of applications are kept (on conflict: respect): on this host {error:#}");
    Ok((put(&without)?, Some(note)))
}

/// A new attachment that fails its self-test is detached again. An existing one is left, as it may protect connections;
/// the failure is returned.
fn prove(
    attached: &Attached,
    cgroup: &Cgroup,
    is_new: bool,
    notes: &mut Vec<String>,
) -> anyhow::Result<Option<String>> {
    let proof = proof::prove(attached, cgroup);
    match &proof {
        Proof::Proved => {}
        Proof::Failed(_) if is_new => {
            bpf::detach(attached.pins())?;
            pins::tidy();
            bail!("{proof}; detached again (--no-self-test attaches without the test)");
        }
        Proof::Failed(_) | Proof::NotTried(_) => notes.push(proof.to_string()),
    }
    Ok(proof.has_failed().then(|| proof.to_string()))
}

fn put(
    pins: &PinDir,
    cgroup: &Cgroup,
    rules: &Rules,
    log: bool,
    notes: &mut Vec<String>,
) -> anyhow::Result<Option<BpfLog>> {
    let describe = |since| Attachment::new(since, cgroup.id(), cgroup.path().as_os_str().as_encoded_bytes());
    let Some(there) = takeable(pins, cgroup, notes)? else {
        return bpf::attach(pins, cgroup, &AttachPlan { rules, attachment: &describe(now()), log });
    };
    if !log && bpf::resume(&there, rules)? {
        notes.push("taken over as it was".to_owned());
        return Ok(None);
    }
    let attachment = describe(there.description().since());
    let log = bpf::replace(&there, cgroup, &AttachPlan { rules, attachment: &attachment, log })?;
    notes.push("taken over, with programs and parameters replaced".to_owned());
    Ok(log)
}

/// The attachment with that name, if it is active and may be taken over. `None` where nothing is attached, even if pins
/// are left.
fn takeable(pins: &PinDir, cgroup: &Cgroup, notes: &mut Vec<String>) -> anyhow::Result<Option<Attached>> {
    pins.check()?;
    if !pins.is_attached() {
        return Ok(None);
    }
    let Some(_own) = pins.own()? else {
        let cgroup = Attached::open(pins.clone()).map(|there| there.cgroup_path());
        return Err(taken(pins, cgroup.unwrap_or_default().display().to_string(), true));
    };
    let there = match Attached::open(pins.clone()) {
        Ok(there) => there,
        Err(error) if Error::is_refusal(&error) => return Err(error),
        Err(error) => {
            notes.push(format!("attached again, as its pins are damaged: {error:#}"));
            return Ok(None);
        }
    };
    match there.state()? {
        AttachmentState::CgroupRemoved => {
            notes.push(format!("attached again, as its cgroup {} was removed", there.cgroup_path().display()));
            Ok(None)
        }
        AttachmentState::Attached if there.hooked_to()? != cgroup.id() => {
            Err(taken(pins, there.cgroup_path().display().to_string(), false))
        }
        AttachmentState::Attached => Ok(Some(there)),
        AttachmentState::Detached | AttachmentState::Unpinned | AttachmentState::Replaced => Ok(None),
    }
}

fn taken(pins: &PinDir, cgroup: String, watched: bool) -> anyhow::Error {
    Error::AlreadyAttached { name: pins.name().to_owned(), cgroup, watched }.into()
}

fn now() -> Since {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Since {
        unix_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
        boot_ns: boot.tv_sec.cast_unsigned() * 1_000_000_000 + boot.tv_nsec.cast_unsigned(),
    }
}
