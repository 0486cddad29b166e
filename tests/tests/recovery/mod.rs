//! What goes wrong or is replaced under an attachment, and what becomes of it.

mod faults;
mod halfway;
mod killed;
mod stopped;
mod takeover;
mod unpinned;
mod upgrade;
mod versions;
