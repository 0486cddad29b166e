//! Connections and listeners that were there before anything was attached.

mod connections;
mod holders;
mod idle;
mod listeners;
mod respect;
