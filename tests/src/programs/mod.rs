//! Running programs, to their end or line by line.

pub(crate) mod command;
pub(crate) mod output;
pub(crate) mod process;
