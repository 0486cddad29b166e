//! Orders to a watch loop.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{
    coverage::Found,
    observation::{FlowListing, Observation},
};
use crate::{attachment::coverage::Snapshot, discovery::aws::answers::Answers};

/// An order.
#[derive(Debug)]
pub(crate) enum Order {
    /// Something may have come or gone.
    Look,
    /// There are flows that no scan has seen, and that may be idle for long.
    Scan,
    /// The file is to be read again, whether it changed or not.
    Reload,
    /// The cloud has answered.
    Discovered(Answers),
    /// All figures.
    Observe(oneshot::Sender<Arc<Observation>>),
    /// All flows, so many at most.
    Flows(u32, oneshot::Sender<FlowListing>),
    /// Which of these connections have no record.
    Compare(Box<Snapshot>, oneshot::Sender<Found>),
    /// Connections that are not covered, at two looks.
    Covered(Found, Box<Snapshot>),
    /// Shut down.
    Stop,
}

impl Order {
    /// Whether the client that asked has given up.
    pub(super) fn is_abandoned(&self) -> bool {
        match self {
            Self::Observe(reply) => reply.is_closed(),
            Self::Flows(_, reply) => reply.is_closed(),
            Self::Compare(_, reply) => reply.is_closed(),
            _ => false,
        }
    }
}

/// The sending end.
#[derive(Clone, Debug)]
pub(crate) struct Orders(mpsc::UnboundedSender<Order>);

impl Orders {
    /// Both ends.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Order>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Sends an order. Ignored once the loop has ended.
    pub(crate) fn give(&self, order: Order) {
        drop(self.0.send(order));
    }

    /// Something may have come or gone.
    pub(super) fn look(&self) {
        self.give(Order::Look);
    }
}
