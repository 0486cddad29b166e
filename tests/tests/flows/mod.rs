//! What `flows`, `status` and events report.

mod answers;
mod clock;
mod coverage;
mod events;
pub(crate) mod fields;
mod half_closed;
mod idle;
mod listing;
mod local;
mod packets;
mod reused;
mod status;
