//! The lab itself.

mod harness;
mod isolation;
