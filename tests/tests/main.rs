//! End-to-end tests on the running kernel. They need root: `cargo xtask test` runs them.

mod adopt;
mod advice;
mod agent;
mod attach;
mod docs;
mod flows;
mod hops;
mod hostile;
mod lab;
mod recovery;
mod scene;
