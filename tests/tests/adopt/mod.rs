//! Connections and listeners that were open before anything was attached.

mod connections;
mod holders;
mod idle;
mod listeners;
mod respect;
