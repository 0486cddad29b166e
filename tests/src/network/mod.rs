//! The wire between programs: a middlebox that drops idle connections, witnesses, forgers, HTTP.

pub(crate) mod forger;
pub(crate) mod http;
pub(crate) mod middlebox;
pub(crate) mod sockets;
pub(crate) mod witness;
