//! Where a watch loop reports what it sees: the log of `run`, or the events of
//! a foreground `attach`.

use std::{collections::BTreeMap, fmt::Debug};

use futures_util::future::{BoxFuture, FutureExt as _};
use injector_common::record::FlowSample;

use crate::{
    attachment::{adopt::Report, coverage::Coverage, watch::FlowChange},
    bpf::{Attached, AttachmentState},
    config::OnExit,
    discovery,
    flow::Origin,
    hop::Hop,
};

/// Takes reports. None of its methods waits: the loop asks [`Self::is_full`]
/// before it looks for more to report.
pub(crate) trait Sink: Debug + Send {
    /// A cgroup was attached to; `notes` say what was done about an earlier attachment.
    fn attached(&mut self, attached: &Attached, notes: &[String]);

    /// Connections that were open before were adopted.
    fn adopted(&mut self, name: &str, report: &Report);

    /// How far attachments cover the connections of their cgroups, by name.
    fn coverage(&mut self, coverages: &BTreeMap<String, Coverage>);

    /// Flows changed.
    fn changed(&mut self, origin: &Origin, changes: &[(FlowChange, FlowSample)]);

    /// Discovery found other hops: `hops` are applied now.
    fn discovered(&mut self, changes: &[discovery::HopChange], hops: &[Hop]);

    /// Notes on failed discovery calls.
    fn undiscovered(&mut self, notes: Vec<String>);

    /// Pins were removed by another process, and restored.
    fn repinned(&mut self, name: &str);

    /// Something does not work. It is tried again.
    fn failed(&mut self, about: &str, error: &anyhow::Error);

    /// What failed works again.
    fn recovered(&mut self, about: &str);

    /// Drops failures of subjects that are gone.
    fn keep_failures(&mut self, is_there: &dyn Fn(&str) -> bool);

    /// An attachment was lost.
    fn lost(&mut self, name: &str, state: AttachmentState);

    /// The configuration no longer names the cgroup of an attachment.
    fn unwanted(&mut self, name: &str);

    /// The loop is about to drop an attachment in this state: the last moment to read its figures.
    fn leaving(&mut self, attached: &mut Attached, state: AttachmentState);

    /// The loop has ended without an error, and released so many attachments.
    fn ended(&mut self, attachments: usize, on_exit: OnExit) -> anyhow::Result<()>;

    /// Whether the reader lags behind: no scan until [`Self::has_room`].
    fn is_full(&self) -> bool {
        false
    }

    /// Waits until it is no longer full.
    fn has_room(&mut self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }

    /// Reports that were held back because there were too many.
    fn held_back(&self) -> u64 {
        0
    }
}
