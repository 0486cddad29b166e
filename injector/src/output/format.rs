//! The forms in which reports, events and flows are written.

use clap::ValueEnum;

/// Forms of a report.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// Forms of a stream of events.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum EventFormat {
    /// A line per event, for people.
    #[default]
    Table,
    /// A JSON object per event.
    Jsonl,
}

/// Forms of a list of flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FlowFormat {
    /// A line per flow.
    #[default]
    Table,
    /// The same with more columns.
    Wide,
    /// One JSON document.
    Json,
    /// A JSON object per flow.
    Jsonl,
}
