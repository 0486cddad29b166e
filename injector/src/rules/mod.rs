//! What to do with which flow: settings and policies, and the tables that the kernel looks them up in. Pure. May use
//! `hop` and all below it.

pub mod compile;
pub mod policy;
pub mod settings;
pub mod timing;
mod trie;
pub mod values;

pub use compile::Rules;
pub use trie::Entry;
