//! An attachment, found by its pins and held open.

use std::{
    collections::HashSet,
    ffi::OsStr,
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use injector_common::{
    attachment::Attachment,
    decision::Selection,
    keepalive::FlowPolicy,
    names,
    packets::PacketRecord,
    record::{Endpoints, FlowBrief, FlowRecord, FlowSample, TrackedSample},
    scan::{self, ScanControl, ScanTotals},
    stats,
};

use super::{
    generation::Generation,
    link::{self, info},
    maps::PerCpu,
    object,
    pinned::Pinned,
    records::Records,
    rule_maps::Hops,
    sys,
};
use crate::{
    bpf::{
        pins::{Identity, PinDir},
        stats::Counters,
    },
    error::Error,
};

/// An attachment whose programs are attached, or were when it was opened.
#[derive(Debug)]
pub struct Attached {
    pins: PinDir,
    identity: Identity,
    keepalive: Pinned,
    companions: Vec<(&'static str, Pinned)>,
    maps: Vec<Pinned>,
    counters: PerCpu,
    records: Records,
    generation: Generation,
}

/// The attachments of this host.
#[derive(Debug, Default)]
pub struct Opened {
    /// Those that could be opened.
    pub attached: Vec<Attached>,
    /// Those that could not, and why.
    pub skipped: Vec<(PinDir, anyhow::Error)>,
}

impl Opened {
    /// Warns of those that could not be opened.
    pub fn warn(&self) {
        for (pins, error) in &self.skipped {
            tracing::warn!("skipped {}: {error:#}", pins.name());
        }
    }
}

impl Attached {
    /// Opens the attachment in `pins`.
    ///
    /// Errors with [`Error::NotAttached`] where it is not there or incomplete,
    /// with [`Error::Refused`] where something there isn't ours.
    pub fn open(pins: PinDir) -> anyhow::Result<Self> {
        pins.check()?;
        let identity = pins.identity().ok_or_else(|| Error::NotAttached { name: pins.name().to_owned() })?;
        let keepalive = link::open(&pins, names::KEEPALIVE)?;
        let program_id = info(&keepalive)?.program_id;
        Records::check_packets(&pins.pin(names::PACKETS))?;
        Ok(Self {
            identity,
            keepalive,
            companions: link::companions(&pins)?,
            maps: names::LASTING_MAPS.iter().map(|name| Pinned::map(pins.pin(name))).collect::<anyhow::Result<_>>()?,
            records: Records::open(&pins.pin(names::FLOWS))?,
            counters: PerCpu::open(&pins.path(), names::COUNTERS)?,
            generation: Generation::open(&pins, program_id)?,
            pins,
        })
    }

    /// Opens every complete attachment on this host. One whose pins are damaged
    /// must not keep the others from being seen.
    pub fn all() -> anyhow::Result<Opened> {
        let mut opened = Opened::default();
        for pins in PinDir::all()?.into_iter().filter(|pins| pins.is_attached() || pins.check().is_err()) {
            match Self::open(pins.clone()) {
                Ok(attached) => opened.attached.push(attached),
                Err(error) => opened.skipped.push((pins, error)),
            }
        }
        Ok(opened)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.pins.name()
    }

    /// Where it is pinned.
    pub const fn pins(&self) -> &PinDir {
        &self.pins
    }

    /// Whether the pins under its name are its own.
    pub fn has_its_pins(&self) -> bool {
        self.pins.identity() == Some(self.identity)
    }

    /// Pins everything again where another process removed the pins. The caller
    /// holds [`crate::bpf::pins::lock_all`].
    pub fn repin(&mut self) -> anyhow::Result<()> {
        // Remove the rest.
        self.pins.remove()?;
        self.pins.create()?;
        let companions = self.companions.iter().map(|(_, link)| link);
        self.maps.iter().chain(companions).try_for_each(Pinned::repin)?;
        self.generation.repin()?;
        self.keepalive.repin()?;
        self.identity = self.pins.identity().context("the new pins are gone already")?;
        Ok(())
    }

    /// The policy for flows without a known hop.
    pub const fn fallback(&self) -> &FlowPolicy {
        &self.generation.fallback
    }

    /// Which limits apply to a flow of a cgroup, the policy that follows, and whether a rule adopts it.
    pub fn choose(
        &self,
        endpoints: &Endpoints,
        direction: u8,
        cgroup_id: u64,
    ) -> anyhow::Result<(Selection, FlowPolicy, u32)> {
        let rules = &self.generation.rules;
        let choice = rules.choose(endpoints, direction, cgroup_id)?;
        let instead = rules.decision(choice.instead)?.instead;
        Ok((choice, instead.of(&rules.decision(choice.limit)?.policy), instead.adopt))
    }

    /// The same for a listener: for any peer.
    pub fn choose_anywhere(&self, cgroup_id: u64) -> anyhow::Result<(FlowPolicy, u32)> {
        let choice = self.generation.rules.choose(&Endpoints::default(), stats::PASSIVE, cgroup_id)?;
        let instead = self.generation.rules.decision(choice.instead)?.instead;
        Ok((instead.of(self.fallback()), instead.adopt))
    }

    /// Assigns numbers to cgroups, and removes those of all others.
    pub fn number(&mut self, cgroups: &[(u64, u32)]) -> anyhow::Result<()> {
        self.generation.rules.cgroups.set(cgroups)
    }

    /// The names of the hops.
    pub fn hops(&self) -> Hops {
        self.generation.hops.clone()
    }

    /// Where what belongs to its present rules is pinned.
    pub fn generation_path(&self) -> &Path {
        self.generation.directory()
    }

    /// What it is attached to, and since when.
    pub const fn description(&self) -> &Attachment {
        &self.generation.attachment
    }

    /// The sums over all flows alone.
    pub fn totals(&mut self) -> anyhow::Result<ScanTotals> {
        self.scan(ScanControl::request(scan::TOTALS, 0, 0), |_| {})
    }

    /// Visits all flows, in short form; some more than once where new ones appear meanwhile.
    pub fn brief(&mut self, visit: impl FnMut(&FlowBrief)) -> anyhow::Result<ScanTotals> {
        self.generation.scan(ScanControl::request(scan::BRIEF, 0, scan::UNLIMITED), visit)
    }

    /// Inode numbers of the listeners that were adopted.
    pub fn listeners(&mut self) -> anyhow::Result<HashSet<u64>> {
        let mut inodes = HashSet::new();
        let request = ScanControl::request(scan::LISTENERS, 0, 0);
        self.generation.scan(request, |brief: &FlowBrief| {
            inodes.insert(brief.inode);
        })?;
        Ok(inodes)
    }

    /// Kernel memory of its maps, in bytes, as far as `/proc` shows it.
    pub fn map_memory(&self) -> u64 {
        self.maps.iter().chain(self.generation.maps()).filter_map(Pinned::memory).sum()
    }

    /// The outcomes of the sockets seen so far.
    pub fn counters(&self) -> anyhow::Result<Counters> {
        self.counters.sums().map(Counters::new)
    }

    /// The record of a socket, if it has one.
    pub fn record(&self, socket: BorrowedFd<'_>) -> anyhow::Result<Option<FlowRecord>> {
        self.records.get(socket)
    }

    /// Gives a socket its first record, or another one in place of the one it
    /// has. False where it has one against expectation, or none.
    ///
    /// The record's choice is by the present rules.
    pub fn remember(&mut self, socket: BorrowedFd<'_>, mut record: FlowRecord, is_new: bool) -> anyhow::Result<bool> {
        record.generation = object::generation(self.description().rules);
        self.records.set(socket, record, is_new)
    }

    /// Visits the flows that `request` asks for, each once, and returns the sums
    /// over all flows. Where others close meanwhile it misses some.
    ///
    /// `visit` should not block: other scans of this attachment wait.
    pub fn scan(&mut self, request: ScanControl, mut visit: impl FnMut(&FlowSample)) -> anyhow::Result<ScanTotals> {
        self.scan_packets(request, |sample, _| visit(sample))
    }

    /// The same, with the flows' packets where they are tracked.
    pub fn scan_packets(
        &mut self,
        request: ScanControl,
        mut visit: impl FnMut(&FlowSample, Option<&PacketRecord>),
    ) -> anyhow::Result<ScanTotals> {
        // The kernel finds its place again by counting, for each 32 KiB: where sockets come meanwhile it repeats some.
        let mut seen = HashSet::new();
        let mut once = |flow: &FlowSample, packets: Option<&PacketRecord>| {
            if seen.insert(flow.cookie) {
                visit(flow, packets);
            }
        };
        if self.description().tracks_packets == 0 {
            return self.generation.scan(request, |flow| once(flow, None));
        }
        self.generation.scan(request, |TrackedSample { flow, packets }| once(flow, Some(packets)))
    }

    /// The cgroup's path, relative to the cgroup v2 mount.
    pub fn cgroup_path(&self) -> PathBuf {
        OsStr::from_bytes(self.description().path()).into()
    }

    /// Kernel's id of the cgroup the programs are on; 0 once they are on none.
    pub fn hooked_to(&self) -> anyhow::Result<u64> {
        Ok(info(&self.keepalive)?.cgroup_id)
    }

    /// Kernel's id of the `keepalive` program.
    pub(super) fn program_id(&self) -> anyhow::Result<u32> {
        Ok(info(&self.keepalive)?.program_id)
    }

    /// Those of [`names::COMPANIONS`] that are on their hooks, with the kernel's
    /// ids of their programs.
    pub(super) fn companion_program_ids(&self) -> anyhow::Result<Vec<(&'static str, u32)>> {
        self.companions.iter().map(|(name, link)| Ok((*name, info(link)?.program_id))).collect()
    }

    /// Everything that is pinned.
    pub(super) fn pinned(&self) -> impl Iterator<Item = &Pinned> {
        let companions = self.companions.iter().map(|(_, link)| link);
        self.maps.iter().chain(companions).chain([&self.keepalive]).chain(self.generation.pinned())
    }

    /// The link of a program of ours, if it is there.
    pub(super) fn link(&self, program: &str) -> Option<&Pinned> {
        let mut companions = self.companions.iter().filter(|(name, _)| *name == program).map(|(_, link)| link);
        if program == names::KEEPALIVE { Some(&self.keepalive) } else { companions.next() }
    }

    /// Whether applications' own calls are seen.
    pub fn has_guard(&self) -> bool {
        self.companions.iter().any(|(name, _)| *name == names::GUARD)
    }

    /// The links of those of [`names::COMPANIONS`] that are there.
    pub(super) fn companions(&self) -> &[(&'static str, Pinned)] {
        &self.companions
    }

    /// Detaches the programs, and keeps the pins.
    pub fn unhook(&self) -> anyhow::Result<()> {
        let companions = self.companions.iter().map(|(_, link)| link);
        [&self.keepalive].into_iter().chain(companions).try_for_each(unhook)
    }
}

/// Detaches the programs of `pins` and removes the pins. Works on incomplete
/// attachments too. The caller holds [`crate::bpf::pins::lock_all`].
///
/// The links are held open until the pins are gone, and detached then: removing the pins alone would leave the programs
/// attached for as long as another process holds them, and a kill half-way must not leave pins of detached programs.
pub(crate) fn detach(pins: &PinDir) -> anyhow::Result<()> {
    pins.check()?;
    let links = open_links(pins)?;
    pins.remove()?;
    links.iter().try_for_each(unhook)
}

/// Kernel's id of the cgroup that an attachment is on, even if other pins are gone; `None` where it is on none, or its
/// link can't be identified.
pub(crate) fn hooked_to(pins: &PinDir) -> Option<u64> {
    pins.check().ok()?;
    let link = link::open(pins, names::KEEPALIVE).ok()?;
    info(&link).ok().map(|link| link.cgroup_id).filter(|id| *id != 0)
}

/// The links that are pinned.
pub(super) fn open_links(pins: &PinDir) -> anyhow::Result<Vec<Pinned>> {
    let keepalive = pins.is_attached().then(|| link::open(pins, names::KEEPALIVE)).transpose()?;
    let companions = link::companions(pins)?.into_iter().map(|(_, link)| link);
    Ok(keepalive.into_iter().chain(companions).collect())
}

/// Detaches a link; anything else is left alone.
pub(super) fn unhook(link: &Pinned) -> anyhow::Result<()> {
    match sys::detach_link(link.as_fd()) {
        // No link, or one of a kind that has no hook (an iterator).
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP)) => Ok(()),
        result => result.with_context(|| format!("detaching {}", link.path().display())),
    }
}
