//! Real servers.

pub(crate) mod postgres;
pub(crate) mod redis;
pub(crate) mod server;
