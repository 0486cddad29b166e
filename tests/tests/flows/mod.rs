//! What `flows`, `status` and events report.

mod clock;
mod coverage;
mod events;
pub(crate) mod fields;
mod idle;
mod listing;
mod packets;
mod status;
