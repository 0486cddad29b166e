//! The lab itself.

mod harness;
