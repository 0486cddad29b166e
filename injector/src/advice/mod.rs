//! What to change: findings on this host and its hops, and settings for other places. May use `config` and all below it.

pub(crate) mod check;
pub(crate) mod recommend;
