//! What goes wrong or is replaced under an attachment, and its effects.

mod faults;
mod halfway;
mod killed;
mod stopped;
mod takeover;
mod unpinned;
mod upgrade;
mod versions;
