//! One generation of an attachment: a build of the programs with its
//! parameters, in a pin directory named by the id of its `keepalive` program.

use std::{
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use aya::Ebpf;
use injector_common::{
    attachment::Attachment,
    decision::FALLBACK,
    keepalive::FlowPolicy,
    names,
    scan::{ScanControl, ScanTotals},
};
use zerocopy::FromBytes;

use super::{
    iterator,
    maps::{self, Single},
    object,
    pinned::Pinned,
    rule_maps::{Hops, PinnedRules},
    sys,
};
use crate::bpf::pins::{self, Expected, Gate, PinDir};

/// What `/proc/self/fdinfo` calls the link of an iterator.
const ITERATOR: &str = "iter";

/// A generation, held open: it can be read even if its pins are removed.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) fallback: FlowPolicy,
    pub(super) rules: PinnedRules,
    pub(super) hops: Hops,
    pub(super) attachment: Attachment,
    pub(super) control: Single<ScanControl>,
    gate: Gate,
    scan: Pinned,
    maps: Vec<Pinned>,
    directory: PathBuf,
}

impl Generation {
    /// Opens the one that `program_id` belongs to.
    pub(super) fn open(pins: &PinDir, program_id: u32) -> anyhow::Result<Self> {
        let directory = pins.generation(program_id);
        pins::check(&directory, Expected::Directory)?;
        let rules = PinnedRules::open(&directory)?;
        Ok(Self {
            fallback: rules.decision(FALLBACK)?.policy,
            rules,
            hops: Hops::open(&directory)?,
            attachment: Single::open(&directory, names::ATTACHMENT)?.get()?,
            control: Single::open(&directory, names::SCAN_CONTROL)?,
            gate: Gate::open(&directory)?,
            scan: Pinned::link(directory.join(names::SCAN), ITERATOR)?,
            maps: names::GENERATION_MAPS
                .iter()
                .map(|name| Pinned::map(directory.join(name)))
                .collect::<anyhow::Result<_>>()?,
            directory,
        })
    }

    /// Pins what `ebpf` holds as the generation of `program_id`.
    pub(super) fn pin(ebpf: &mut Ebpf, pins: &PinDir, program_id: u32) -> anyhow::Result<()> {
        let directory = pins.generation(program_id);
        pins::create(&directory)?;
        for name in names::GENERATION_MAPS {
            maps::pin(ebpf, name, &directory.join(name))?;
        }
        let scan = object::link_scan(ebpf)?;
        sys::pin(scan.as_fd(), &directory.join(names::SCAN)).context("pinning the iterator")
    }

    /// Its maps.
    pub(super) fn maps(&self) -> &[Pinned] {
        &self.maps
    }

    /// Pins everything again where the pins were removed.
    pub(super) fn repin(&mut self) -> anyhow::Result<()> {
        pins::create(&self.directory)?;
        self.pinned().try_for_each(Pinned::repin)?;
        self.gate = Gate::open(&self.directory)?;
        Ok(())
    }

    /// Everything that is pinned.
    pub(super) fn pinned(&self) -> impl Iterator<Item = &Pinned> {
        self.maps.iter().chain([&self.scan])
    }

    /// Where it is pinned.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// One scan, of a mode that writes out values of `T`. Others of this generation wait: they share the map for
    /// request and result.
    pub(super) fn scan<T: FromBytes>(
        &mut self,
        request: ScanControl,
        visit: impl FnMut(&T),
    ) -> anyhow::Result<ScanTotals> {
        let Self { gate, control, scan, .. } = self;
        gate.pass(|| {
            control.set(request)?;
            iterator::read(scan.as_fd(), visit).with_context(|| format!("scanning by {}", scan.path().display()))?;
            Ok(control.get()?.totals)
        })
    }
}
