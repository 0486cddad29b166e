//! End-to-end tests on the running kernel. They need root: `cargo xtask test` runs them.

mod attach;
mod coexist;
mod doctor;
mod errors;
mod events;
mod faults;
mod flows;
mod guard;
mod harness;
mod hops;
mod idle;
mod killed;
mod lifetime;
mod listing;
mod privileges;
mod recommend;
mod recommended_servers;
mod removed;
mod rescue;
mod respect;
mod scale;
mod scene;
mod status;
mod takeover;
mod upgrade;
