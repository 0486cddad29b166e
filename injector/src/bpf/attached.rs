//! An attachment, found by its pins.

use std::os::fd::AsFd as _;

use anyhow::Context as _;
use injector_common::{
    attachment::Attachment,
    flow::FlowSample,
    keepalive::Policy,
    names,
    scan::{self, ScanControl, ScanTotals},
};

use super::{
    iterator,
    maps::{self, Single},
    sys,
};
use crate::{exit::Error, pins::PinDir, stats::Counters};

/// An attachment whose programs are at work.
#[derive(Debug)]
pub struct Attached {
    pins: PinDir,
    identity: u64,
    policy: Policy,
    attachment: Attachment,
    control: Single<ScanControl>,
}

impl Attached {
    /// Opens the attachment in `pins`.
    ///
    /// Errors with [`Error::NotAttached`] where it is not there or incomplete.
    pub fn open(pins: PinDir) -> anyhow::Result<Self> {
        let identity = pins.identity().ok_or_else(|| Error::NotAttached { name: pins.name().to_owned() })?;
        Ok(Self {
            identity,
            policy: Single::open(&pins, names::POLICY)?.get()?,
            attachment: Single::open(&pins, names::ATTACHMENT)?.get()?,
            control: Single::open(&pins, names::SCAN_CONTROL)?,
            pins,
        })
    }

    /// Opens every complete attachment on this host.
    pub fn all() -> anyhow::Result<Vec<Self>> {
        PinDir::all()?.into_iter().filter(PinDir::is_attached).map(Self::open).collect()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.pins.name()
    }

    /// Where it is pinned.
    pub const fn pins(&self) -> &PinDir {
        &self.pins
    }

    /// Whether it is still there, and not another one under its name.
    pub fn is_current(&self) -> bool {
        self.pins.identity() == Some(self.identity)
    }

    /// Whether its cgroup is still there. The kernel takes programs off a
    /// removed one, and never uses its id for another.
    pub fn has_cgroup(&self) -> anyhow::Result<bool> {
        let pin = self.pins.pin(names::KEEPALIVE);
        let link = sys::open_pin(&pin).with_context(|| format!("opening {}", pin.display()))?;
        let link = sys::cgroup_link(link.as_fd()).with_context(|| format!("reading {}", pin.display()))?;
        Ok(link.cgroup_id != 0)
    }

    /// The policy in force.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What it is attached to, and since when.
    pub const fn description(&self) -> &Attachment {
        &self.attachment
    }

    /// The sums over all flows alone.
    pub fn totals(&mut self) -> anyhow::Result<ScanTotals> {
        self.scan(ScanControl::request(scan::TOTALS, 0, 0), |_| {})
    }

    /// What became of the sockets seen so far.
    pub fn counters(&self) -> anyhow::Result<Counters> {
        maps::counters(&self.pins, names::COUNTERS).map(Counters::new)
    }

    /// Visits the flows that `request` asks for, and returns the sums over all
    /// flows.
    ///
    /// `visit` should not block: other scans of this attachment wait.
    pub fn scan(&mut self, request: ScanControl, visit: impl FnMut(&FlowSample)) -> anyhow::Result<ScanTotals> {
        let _lock = self.pins.lock_for_scan()?;
        self.control.set(request)?;
        let pin = self.pins.pin(names::SCAN);
        iterator::read(&pin, visit).with_context(|| format!("reading {}", pin.display()))?;
        Ok(self.control.get()?.totals)
    }
}

/// Takes the programs of `pins` off their hooks and removes the pins. Works
/// on incomplete attachments too. The caller holds
/// [`crate::pins::lock_all`].
pub fn detach(pins: &PinDir) -> anyhow::Result<()> {
    for name in [names::KEEPALIVE, names::GUARD] {
        let pin = pins.pin(name);
        if pin.exists() {
            // Removing the pin alone would leave the program at work for a
            // moment, or for as long as somebody else holds the link.
            let link = sys::open_pin(&pin).with_context(|| format!("opening {}", pin.display()))?;
            sys::detach_link(link.as_fd()).with_context(|| format!("detaching {}", pin.display()))?;
        }
    }
    pins.remove()
}
