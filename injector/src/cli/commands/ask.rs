//! Asking the cloud for hops, once.

use crate::{
    discovery::{
        Discovery,
        aws::{self, discover::discover},
        beside,
    },
    hop::Hop,
    output,
};

/// Asks, waits for the answer, and notes what is unknown. Returns all hops, the `configured` ones first.
pub(super) fn once(configured: &[Hop]) -> anyhow::Result<Vec<Hop>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let Discovery { hops, notes } = beside(configured, discover(&runtime.block_on(aws::ask())));
    for note in notes {
        output::message(format_args!("injector: note: {note}"));
    }
    Ok(hops)
}
