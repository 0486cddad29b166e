//! Programs of one purpose, in Python (`tests/peers/`).

pub(crate) mod churn;
pub(crate) mod crowd;
pub(crate) mod peer;
pub(crate) mod socket;
pub(crate) mod tide;
