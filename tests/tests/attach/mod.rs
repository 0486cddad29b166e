//! What `attach` gives to which connections, and how it ends.

mod coexist;
mod convenience;
mod covers;
pub(crate) mod errors;
mod guard;
mod lifetime;
mod mounts;
mod neighbours;
mod nested;
mod privileges;
mod proof;
mod removed;
mod rescue;
mod respect;
mod scale;
mod user_timeout;
mod verifier;
