//! Hops and rules: which limit applies to which flow.

pub(crate) mod limits;
mod options;
mod rules;
