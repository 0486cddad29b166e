//! What to do with which flow: settings and policies, and the tables that the kernel looks them up in. Pure. May use
//! `hop` and all below it.

pub(crate) mod compile;
pub(crate) mod policy;
pub(crate) mod settings;
pub(crate) mod timing;
mod trie;
pub(crate) mod values;

pub(crate) use compile::Rules;
pub(crate) use trie::Entry;
